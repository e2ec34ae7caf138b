package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// startLimit is for Lima to download an image, and for packages to be installed on it.
const startLimit = 20 * time.Minute

// limaTemplate is the file that says what an instance is made of. Tests run in their packages' folders, which whoever names
// a file is not in.
func limaTemplate(suite string) string {
	path := cmp.Or(os.Getenv("E2E_TEMPLATE"), filepath.Join("hack", "lima", suite+".yaml"))
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(Top(), path)
}

// baseKey changes with all that the base is made of.
func baseKey(suite string) (string, error) {
	files, err := filepath.Glob(filepath.Join(Top(), "hack", "lima", "*"))
	if err != nil {
		return "", err
	}
	order, err := bootOrder()
	if err != nil {
		return "", err
	}
	var all strings.Builder
	fmt.Fprintln(&all, limaTemplate(suite), order)
	for _, file := range append(files, limaTemplate(suite)) {
		text, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("reading the template of test hosts (E2E_SUITE has those of hack/lima: bookworm, trixie): %w", err)
		}
		all.Write(text)
	}
	return hash(all.String()), nil
}

// baseInstance is the one that hosts begin as copies of. It is made once: installing packages takes minutes. Its name has a dot,
// which no cluster's has. The caller has the lock of all bases.
func baseInstance(ctx context.Context, suite string) (string, error) {
	key, err := baseKey(suite)
	if err != nil {
		return "", err
	}
	prefix := instancePrefix() + "." + suite + "-"
	name, complete := prefix+key, filepath.Join(cacheDir(), "lima-"+key)
	all, err := instances(ctx, prefix)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(complete); err == nil {
		for _, i := range all {
			if i.Name == name && i.Status != instanceRunning {
				return name, nil
			}
		}
	}
	// of former templates, or not completed
	if err := deleteInstances(ctx, all); err != nil {
		return "", err
	}
	if err := makeBase(ctx, suite, name); err != nil {
		return "", errors.Join(fmt.Errorf("preparing test hosts in Lima: %w", err), deleteInstances(context.WithoutCancel(ctx), []instance{{Name: name}}))
	}
	return name, os.WriteFile(complete, nil, 0o644)
}

func makeBase(ctx context.Context, suite, name string) error {
	if _, err := limactl(ctx, "create", "--name="+name, limaTemplate(suite)); err != nil {
		return err
	}
	h := newLimaHost(Options{Name: "base", Suite: suite, Docker: true, OVS: true}, limaHost{Instance: name})
	if err := h.start(ctx); err != nil {
		return err
	}
	if _, err := h.Run(ctx, "test", "-e", "/var/lib/testhost-provisioned"); err != nil {
		log, _ := h.Run(ctx, "tail", "-n", "5", "/var/log/cloud-init-output.log")
		return fmt.Errorf("hack/lima/provision.sh failed: %s", strings.TrimSpace(log))
	}
	order, err := bootOrder()
	if err != nil {
		return err
	}
	if _, err := h.RunInput(ctx, strings.NewReader(order), "bash", "-eu"); err != nil {
		return err
	}
	if err := h.answers(ctx); err != nil {
		return err
	}
	// Lima presses the power button, and cuts the power when that takes too long
	if _, err := h.Run(ctx, "sync"); err != nil {
		return err
	}
	_, err = limactl(ctx, "stop", name)
	return err
}

var (
	dropinLines     = regexp.MustCompile(`(?m)^[a-z_]*dropin=.*$`)
	bootOrderLines  = regexp.MustCompile(`(?ms)^boot_order\(\) \{$.*?^\}$`)
	installersOwn   = "name=ovs-container-network\nsystemd() { :; }\nmade_add() { :; }\nsay() { echo \"$*\"; }\n"
	bootOrderCalled = "\nboot_order\n[ -s \"$dropin\" ]\n"
)

// bootOrder is the installer's own function as a script, so that hosts boot with what it writes.
func bootOrder() (string, error) {
	text, err := os.ReadFile(filepath.Join(Top(), "scripts", "install.sh"))
	if err != nil {
		return "", err
	}
	paths, function := dropinLines.FindAllString(string(text), -1), bootOrderLines.FindString(string(text))
	if len(paths) == 0 || function == "" {
		return "", errors.New("found no function boot_order in scripts/install.sh, which the hosts boot by")
	}
	return installersOwn + strings.Join(paths, "\n") + "\n" + function + bootOrderCalled, nil
}
