package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/ovs-container-lab/ovs-container-network/pkg/reconcile"
)

// hostReports are where dockerd keeps the report of an installed plugin's
// recovery: the propagated mount of a managed plugin, in Docker's folder.
const hostReports = "/var/lib/docker/plugins/*/propagated-mount/data/" + reconcile.ReportFile

// printLeft writes what a plugin that does not answer has left about its last
// recovery, if it left anything.
func printLeft(out io.Writer, pattern string) error {
	path, err := newest(pattern)
	if err != nil || path == "" {
		return err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading the report of the last recovery: %w", err)
	}
	var file struct {
		Data reconcile.Report `json:"data"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return fmt.Errorf("reading the report of the last recovery in %q: %w", path, err)
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "last report\t%s (%s)\n", file.Data.At.Format(time.RFC3339), path)
	printReport(w, file.Data)
	return w.Flush()
}

// newest returns the file that was written last, "" for none.
func newest(pattern string) (string, error) {
	found, err := filepath.Glob(pattern)
	if err != nil {
		return "", fmt.Errorf("looking for %q: %w", pattern, err)
	}
	last, at := "", time.Time{}
	for _, path := range found {
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the plugin is being removed
		}
		if err != nil {
			return "", fmt.Errorf("looking for %q: %w", pattern, err)
		}
		if last == "" || info.ModTime().After(at) {
			last, at = path, info.ModTime()
		}
	}
	return last, nil
}
