// Command image writes an OCI image archive without a container engine.
//
//	image [flags] NAME OUT.tar FILE:/path...
//
// The archive is what `ctr images import`, `docker load` and `skopeo copy oci-archive:` read. It is the same to the
// byte for the same input: entries are sorted, owned by root and dated 1970. One layer, not compressed.
package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
)

const usage = `usage: image [flags] NAME OUT.tar FILE:/path...

Write an OCI image archive named NAME (for instance docker.io/library/tool:dev) with the given files.

`

type options struct {
	base, cmd, entrypoint, user string
	env                         list
	withLibs                    bool
	name, out                   string
	files                       []string
}

// list is a flag that may be given more than once.
type list []string

func (l *list) String() string     { return strings.Join(*l, " ") }
func (l *list) Set(v string) error { *l = append(*l, v); return nil }

func main() {
	o, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "image: %v\ntry: image --help\n", err)
		os.Exit(2)
	}
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func parse(args []string) (options, error) {
	var o options
	f := flag.NewFlagSet("image", flag.ContinueOnError)
	f.SetOutput(io.Discard) // the message is printed once, by main
	f.StringVar(&o.base, "base", "scratch", "`scratch` (nothing but the files) or `busybox` (this machine's static busybox and a link per applet)")
	f.StringVar(&o.cmd, "cmd", "", "default arguments, a JSON array of `strings`")
	f.StringVar(&o.entrypoint, "entrypoint", "", "program and fixed arguments, a JSON array of `strings`")
	f.StringVar(&o.user, "user", "", "`uid` the container runs as (default: root)")
	f.Var(&o.env, "env", "`K=V`, may be repeated")
	f.BoolVar(&o.withLibs, "with-libs", false, "add the shared libraries and the loader that the files need")

	// Flags may stand before, between and after the arguments.
	var rest []string
	for {
		if err := f.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				fmt.Print(usage)
				f.SetOutput(os.Stdout)
				f.PrintDefaults()
			}
			return o, err
		}
		if args = f.Args(); len(args) == 0 {
			break
		}
		rest, args = append(rest, args[0]), args[1:]
	}
	if len(rest) < 2 {
		return o, errors.New("NAME and OUT.tar are required")
	}
	o.name, o.out, o.files = rest[0], rest[1], rest[2:]
	return o, nil
}

func run(o options) error {
	t := tree{}
	t.dir("/tmp", 0o1777)
	t.text("/etc/passwd", "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n")
	t.text("/etc/group", "root:x:0:\nnonroot:x:65532:\n")
	path := "/usr/local/bin:/usr/bin:/bin"
	switch o.base {
	case "scratch":
	case "busybox":
		if err := t.busybox(); err != nil {
			return err
		}
	default:
		return fmt.Errorf("unknown base %q: want scratch or busybox", o.base)
	}
	for _, spec := range o.files {
		src, dst, ok := strings.Cut(spec, ":")
		if !ok || !strings.HasPrefix(dst, "/") {
			return fmt.Errorf("%q: want FILE:/path/in/image", spec)
		}
		if err := t.file(src, dst); err != nil {
			return err
		}
		if o.withLibs {
			if err := t.libraries(src); err != nil {
				return err
			}
		}
	}
	layer, err := t.layer()
	if err != nil {
		return err
	}
	config, err := config(o, path, layer)
	if err != nil {
		return err
	}
	return archive(o, config, layer)
}

func config(o options, path string, layer []byte) ([]byte, error) {
	c := map[string]any{"Env": append([]string{"PATH=" + path}, o.env...)}
	for key, value := range map[string]string{"Cmd": o.cmd, "Entrypoint": o.entrypoint} {
		if value == "" {
			continue
		}
		var args []string
		if err := json.Unmarshal([]byte(value), &args); err != nil {
			return nil, fmt.Errorf("--%s %s: want a JSON array of strings: %w", strings.ToLower(key), value, err)
		}
		c[key] = args
	}
	if o.user != "" {
		c["User"] = o.user
	}
	return json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux", "config": c,
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{digest(layer)}},
	})
}

// archive writes an OCI layout as a tar file: https://github.com/opencontainers/image-spec/blob/main/image-layout.md
func archive(o options, config, layer []byte) error {
	manifest, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
		"config": descriptor("application/vnd.oci.image.config.v1+json", config),
		"layers": []any{descriptor("application/vnd.oci.image.layer.v1.tar", layer)},
	})
	if err != nil {
		return err
	}
	entry := descriptor("application/vnd.oci.image.manifest.v1+json", manifest)
	entry["platform"] = map[string]string{"architecture": runtime.GOARCH, "os": "linux"}
	tag := o.name[strings.LastIndex(o.name, ":")+1:]
	// The first annotation is the name containerd and docker give the image, the second is OCI's own, the bare tag.
	entry["annotations"] = map[string]string{"io.containerd.image.name": o.name, "org.opencontainers.image.ref.name": tag}
	index, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []any{entry},
	})
	if err != nil {
		return err
	}
	blob := func(b []byte) string { return "blobs/sha256/" + strings.TrimPrefix(digest(b), "sha256:") }
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, f := range []struct {
		name string
		data []byte
	}{
		{"oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)}, {"index.json", index},
		{blob(config), config}, {blob(manifest), manifest}, {blob(layer), layer},
	} {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: 0o644, Size: int64(len(f.data)), Format: tar.FormatUSTAR}); err != nil {
			return err
		}
		if _, err := w.Write(f.data); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	// Renamed into place, so that a reader never meets half an archive.
	part := o.out + ".part"
	if err := os.WriteFile(part, buf.Bytes(), 0o644); err != nil {
		return err
	}
	return os.Rename(part, o.out)
}

func descriptor(mediaType string, b []byte) map[string]any {
	return map[string]any{"mediaType": mediaType, "digest": digest(b), "size": len(b)}
}

func digest(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }
