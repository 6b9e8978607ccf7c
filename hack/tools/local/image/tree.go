package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path"
	"sort"
	"strings"
)

// tree is the image's file system: absolute path to entry.
type tree map[string]entry

type entry struct {
	header tar.Header
	data   []byte
}

func (t tree) put(name string, h tar.Header, data []byte) {
	name = path.Clean(name)
	if parent := path.Dir(name); parent != "/" {
		if _, ok := t[parent]; !ok {
			t.dir(parent, 0o755)
		}
	}
	h.Name = strings.TrimPrefix(name, "/")
	if h.Typeflag == tar.TypeDir {
		h.Name += "/"
	}
	h.Size = int64(len(data))
	h.Format = tar.FormatPAX // long names; no time is written but 1970
	t[name] = entry{h, data}
}

func (t tree) dir(name string, mode int64) {
	t.put(name, tar.Header{Typeflag: tar.TypeDir, Mode: mode}, nil)
}

func (t tree) text(name, content string) {
	t.put(name, tar.Header{Typeflag: tar.TypeReg, Mode: 0o644}, []byte(content))
}

func (t tree) link(name, target string) {
	t.put(name, tar.Header{Typeflag: tar.TypeSymlink, Mode: 0o777, Linkname: target}, nil)
}

// file adds the content of src, followed if it is a link, as dst: executable if src is.
func (t tree) file(src, dst string) error {
	info, err := os.Stat(src)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s: not a regular file", src)
	}
	data, err := os.ReadFile(src)
	if err != nil {
		return err
	}
	mode := int64(0o644)
	if info.Mode()&0o111 != 0 {
		mode = 0o755
	}
	t.put(dst, tar.Header{Typeflag: tar.TypeReg, Mode: mode}, data)
	return nil
}

// busybox adds this machine's busybox, which must be static, and a link for each applet it says it has.
func (t tree) busybox() error {
	bin, err := exec.LookPath("busybox")
	if err != nil {
		return fmt.Errorf("busybox not found: install it (Debian: apt-get install busybox-static)")
	}
	if needed, err := neededBy(bin); err != nil {
		return err
	} else if len(needed.libraries) > 0 {
		return fmt.Errorf("%s is not static: install a static one (Debian: apt-get install busybox-static)", bin)
	}
	applets, err := exec.Command(bin, "--list").Output()
	if err != nil {
		return fmt.Errorf("%s --list: %w", bin, err)
	}
	for _, applet := range strings.Fields(string(applets)) {
		t.link("/bin/"+applet, "busybox")
	}
	return t.file(bin, "/bin/busybox")
}

// layer is the tree as a tar file: parents before children, because "/a" sorts before "/a/b".
func (t tree) layer() ([]byte, error) {
	names := make([]string, 0, len(t))
	for name := range t {
		names = append(names, name)
	}
	sort.Strings(names)
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, name := range names {
		e := t[name]
		if err := w.WriteHeader(&e.header); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if _, err := w.Write(e.data); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}
