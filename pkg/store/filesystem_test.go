package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// isolated runs a role in a mount namespace of its own, where it may mount a small or a read-only file system, as an
// ordinary user too.
func isolated(t *testing.T, role string) {
	t.Helper()
	cmd := rerun(t, role, t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	if err == nil {
		return
	}
	if !errors.Is(err, os.ErrPermission) && !strings.Contains(string(out), cannotMount) {
		t.Fatalf("%v\n%s", err, out)
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("this machine does not let the test mount a file system: %v %s", err, out)
	}
	t.Skipf("this machine does not let the test mount a file system: %v %s", err, out)
}

const cannotMount = "mounting for the test"

func mountSmall(dir string) error {
	if err := syscall.Mount("", "/", "", syscall.MS_PRIVATE|syscall.MS_REC, ""); err != nil {
		return fmt.Errorf("%s: %w", cannotMount, err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=128k"); err != nil {
		return fmt.Errorf("%s: %w", cannotMount, err)
	}
	return nil
}

func TestFullDisk(t *testing.T)           { isolated(t, "full") }
func TestReadOnlyFileSystem(t *testing.T) { isolated(t, "readonly") }

// fullRole fills the disk: the failed put leaves the old record in memory and on disk and no garbage beside it, and
// deleting makes room again.
func fullRole(dir string) error {
	if err := mountSmall(dir); err != nil {
		return err
	}
	s, err := Open(dir, Options{})
	if err != nil {
		return err
	}
	c, err := NewCollection[thing](s, "networks")
	if err != nil {
		return err
	}
	if err := c.Put("a", Record[thing]{Phase: Pending}); err != nil {
		return err
	}
	ballast := filepath.Join(dir, "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		return err
	}
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("filling the disk: %w", err)
	}
	err = c.Put("a", Record[thing]{Phase: Ready})
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "free some space") {
		return fmt.Errorf("put on a full disk gave %v", err)
	}
	if r, _ := c.Get("a"); r.Phase != Pending {
		return fmt.Errorf("after a failed put the phase in memory is %q", r.Phase)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "networks", ".*")); len(left) > 0 {
		return fmt.Errorf("left behind: %q", left)
	}
	if err := s.Close(); err != nil {
		return err
	}
	if s, err = Open(dir, Options{Mode: Strict}); err != nil {
		return err
	}
	if c, err = NewCollection[thing](s, "networks"); err != nil {
		return err
	}
	if r, _ := c.Get("a"); r.Phase != Pending {
		return fmt.Errorf("after a failed put the phase on disk is %q", r.Phase)
	}
	if err := c.Delete("a"); err != nil {
		return fmt.Errorf("deleting on a full disk: %w", err)
	}
	return s.Close()
}

// readOnlyRole makes the file system read-only below an open store, and then opens a store on it.
func readOnlyRole(dir string) error {
	if err := mountSmall(dir); err != nil {
		return err
	}
	s, err := Open(dir, Options{})
	if err != nil {
		return err
	}
	c, err := NewCollection[thing](s, "networks")
	if err != nil {
		return err
	}
	if err := c.Put("a", Record[thing]{Phase: Ready}); err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("%s: %w", cannotMount, err)
	}
	reopened, err := Open(dir, Options{})
	if err == nil {
		// An existing lock file may be opened read-only, so the store opens; but it can take no change.
		if c, err = NewCollection[thing](reopened, "networks"); err != nil {
			return err
		}
		if err = c.Delete("a"); err == nil {
			return errors.New("deleted on a read-only file system")
		}
		if _, ok := c.Get("a"); !ok {
			return errors.New("after a failed delete the record is gone from memory")
		}
		err = c.Put("a", Record[thing]{Phase: Deleting})
	}
	if !errors.Is(err, syscall.EROFS) || !strings.Contains(err.Error(), "PLUGIN_DATA_DIR") {
		return fmt.Errorf("on a read-only file system: %v", err)
	}
	return nil
}
