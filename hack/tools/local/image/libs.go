package main

import (
	"bufio"
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// needed is what a dynamically linked ELF file asks for.
type needed struct {
	interpreter string   // the loader, an absolute path; empty in a static program
	libraries   []string // DT_NEEDED
	paths       []string // DT_RUNPATH and DT_RPATH, $ORIGIN resolved
	machine     elf.Machine
	class       elf.Class
}

// libraries adds, with everything they need in turn, the shared libraries and the loader of the program src.
//
// It reads the files instead of asking `ldd`, which runs the program, and is a script of glibc's.
func (t tree) libraries(src string) error {
	root, err := neededBy(src)
	if err != nil || root.interpreter == "" && len(root.libraries) == 0 {
		return err
	}
	if root.interpreter != "" {
		if err := t.file(root.interpreter, root.interpreter); err != nil {
			return fmt.Errorf("%s: loader: %w", src, err)
		}
	}
	// glibc looks host names up as this file says; without it, hosts given by the kubelet in /etc/hosts may be missed.
	t.text("/etc/nsswitch.conf", "hosts: files dns\n")
	dirs := libraryDirs()
	seen := map[string]bool{filepath.Base(root.interpreter): true} // libc also names the loader as a library
	for todo := []needed{root}; len(todo) > 0; todo = todo[1:] {
		for _, name := range todo[0].libraries {
			if seen[name] {
				continue
			}
			seen[name] = true
			file, n, err := find(name, root, append(slices.Clone(todo[0].paths), dirs...))
			if err != nil {
				return fmt.Errorf("%s: %w", src, err)
			}
			if err := t.file(file, imagePath(file)); err != nil {
				return err
			}
			todo = append(todo, n)
		}
	}
	return nil
}

func neededBy(file string) (needed, error) {
	f, err := elf.Open(file)
	if err != nil {
		return needed{}, fmt.Errorf("%s: %w", file, err)
	}
	defer f.Close()
	n := needed{machine: f.Machine, class: f.Class}
	if s := f.Section(".interp"); s != nil {
		b, err := s.Data()
		if err != nil {
			return n, fmt.Errorf("%s: %w", file, err)
		}
		n.interpreter = strings.TrimRight(string(b), "\x00")
	}
	// Both fail only on a file without a dynamic section, which is a static program.
	n.libraries, _ = f.ImportedLibraries()
	for _, tag := range []elf.DynTag{elf.DT_RPATH, elf.DT_RUNPATH} {
		values, _ := f.DynString(tag)
		for _, v := range values {
			v = strings.NewReplacer("$ORIGIN", filepath.Dir(file), "${ORIGIN}", filepath.Dir(file)).Replace(v)
			n.paths = append(n.paths, strings.Split(v, ":")...)
		}
	}
	return n, nil
}

// find is the first file of that name that fits the program: a machine may keep 32-bit libraries too.
func find(name string, root needed, dirs []string) (string, needed, error) {
	for _, dir := range dirs {
		file := filepath.Join(dir, name)
		if n, err := neededBy(file); err == nil && n.machine == root.machine && n.class == root.class {
			return file, n, nil
		}
	}
	return "", needed{}, fmt.Errorf("library %s not found in %s", name, strings.Join(dirs, ", "))
}

// defaultDirs are searched by the loader itself, without /etc/ld.so.cache, which the image does not have.
var defaultDirs = []string{"/lib64", "/usr/lib64", "/lib", "/usr/lib"}

func libraryDirs() []string {
	dirs := slices.Clone(defaultDirs)
	for _, pattern := range []string{"/lib/*-linux-gnu*", "/usr/lib/*-linux-gnu*"} {
		found, _ := filepath.Glob(pattern) // fails only on a malformed pattern
		dirs = append(dirs, found...)
	}
	return append(dirs, configured("/etc/ld.so.conf")...)
}

// configured reads ldconfig's list of directories, and what it includes.
func configured(conf string) []string {
	f, err := os.Open(conf)
	if err != nil {
		return nil // musl systems have none
	}
	defer f.Close()
	var dirs []string
	for s := bufio.NewScanner(f); s.Scan(); {
		line, _, _ := strings.Cut(s.Text(), "#")
		line = strings.TrimSpace(line)
		if pattern, ok := strings.CutPrefix(line, "include "); ok {
			files, _ := filepath.Glob(strings.TrimSpace(pattern))
			for _, file := range files {
				dirs = append(dirs, configured(file)...)
			}
		} else if line != "" {
			dirs = append(dirs, line)
		}
	}
	return dirs
}

// imagePath keeps a library where it is if the loader looks there by itself, and puts it in /usr/lib otherwise.
func imagePath(file string) string {
	dir := filepath.Dir(file)
	if slices.Contains(defaultDirs, dir) || strings.Contains(filepath.Base(dir), "-linux-gnu") {
		return file
	}
	return filepath.Join("/usr/lib", filepath.Base(file))
}
