package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"github.com/google/renameio/v2"
)

const (
	dirMode  = 0o700
	fileMode = 0o600

	extension = ".json"

	// maxFile keeps a file that is not ours from filling the memory; records have a few kilobytes.
	maxFile = 16 << 20
)

// temporary matches the names that renameio gives to unfinished files: a dot, the final name, digits.
var temporary = regexp.MustCompile(`^\..+\.(json|tar)[0-9]+$`)

// writeFile replaces the file as a whole and returns when the new content and the name are on disk.
func writeFile(path string, text []byte) error {
	dir := filepath.Dir(path)
	// A temporary file in the same directory is on the same file system, so the rename cannot fail for that reason.
	err := renameio.WriteFile(path, text, fileMode, renameio.WithTempDir(dir), renameio.WithStaticPermissions(fileMode))
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("writing %q: %w%s", path, err, remedy(err))
	}
	return nil
}

// removeFile needs no space: it works on a full disk. A file that is gone already is no error.
func removeFile(path string) error {
	err := os.Remove(path)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("removing %q: %w%s", path, err, remedy(err))
	}
	return nil
}

// syncDir makes names durable (fsync(2): "Calling fsync() does not necessarily ensure that the entry in the directory
// containing the file has also reached disk"). File systems that cannot do it say EINVAL, and offer nothing better.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOTSUP) {
		return err
	}
	return nil
}

func makeDir(dir string) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	err := os.MkdirAll(dir, dirMode)
	if err == nil {
		err = syncDir(filepath.Dir(dir))
	}
	if err != nil {
		return fmt.Errorf("making the directory %q: %w%s", dir, err, remedy(err))
	}
	return nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return nil, fmt.Errorf("%w: it is a folder", ErrInvalid)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("%w: it is larger than %d MiB", ErrInvalid, maxFile>>20)
	}
	return text, nil
}

// stateFiles lists the files named *.json, sorted, and what has taken the place of one, such as a folder. Other names are
// an administrator's own business.
func stateFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("reading the directory %q: %w%s", dir, err, remedy(err))
	}
	var list []string
	for _, e := range entries {
		if (e.Type().IsRegular() || e.IsDir()) && strings.HasSuffix(e.Name(), extension) && !strings.HasPrefix(e.Name(), ".") {
			list = append(list, filepath.Join(dir, e.Name()))
		}
	}
	return list, nil
}

// sweep removes the temporary files of writes that a crash interrupted.
func sweep(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("reading the directory %q: %w%s", dir, err, remedy(err))
	}
	var swept []string
	for _, e := range entries {
		if !e.Type().IsRegular() || !temporary.MatchString(e.Name()) {
			continue
		}
		path := filepath.Join(dir, e.Name())
		if err := os.Remove(path); err != nil {
			return swept, fmt.Errorf("removing the unfinished file %q: %w%s", path, err, remedy(err))
		}
		swept = append(swept, path)
	}
	return swept, nil
}

// setAside renames path to path.backup, or path.2.backup and so on when there is one from before. The check for
// a free name needs no more than the store's lock: nobody else writes here.
func setAside(path string) (string, error) {
	backup := path + ".backup"
	for n := 2; ; n++ {
		if _, err := os.Lstat(backup); errors.Is(err, fs.ErrNotExist) {
			break
		}
		backup = path + "." + strconv.Itoa(n) + ".backup"
	}
	err := os.Rename(path, backup)
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return "", fmt.Errorf("setting %q aside: %w%s", path, err, remedy(err))
	}
	return backup, nil
}

// remedy ends an error of the file system with what to do about it.
func remedy(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "; free some space (or inodes) on that file system"
	case errors.Is(err, syscall.EROFS):
		return "; set PLUGIN_DATA_DIR to a directory on a writable file system"
	case errors.Is(err, fs.ErrPermission):
		return "; give this process the permission, or set PLUGIN_DATA_DIR to another directory"
	case errors.Is(err, syscall.ENOTDIR):
		return "; move that file away, or set PLUGIN_DATA_DIR to another directory"
	}
	return ""
}
