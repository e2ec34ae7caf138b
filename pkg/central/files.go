package central

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"

	"github.com/ovs-container-lab/ovs-container-network/pkg/pki"
)

// folder is the files that a container has certificates in, by their paths without the
// first slash.
type folder map[string][]byte

// invitationFile is what the other files of a folder come from.
const invitationFile = "etc/ovn-tls/invitation"

// certificates are where our image's programs look for them, with the invitation that they
// come from, "" for none.
func certificates(i pki.Identity, invitation string) folder {
	f := folder{"etc/ovn-tls/ca.pem": i.CA, "etc/ovn-tls/cert.pem": i.Cert, "etc/ovn-tls/key.pem": i.Key}
	if invitation != "" {
		f[invitationFile] = []byte(invitation)
	}
	return f
}

// holds reports whether a container has the files as they are.
func (c *Central) holds(ctx context.Context, id string, files folder) (bool, error) {
	for name, want := range files {
		have, err := c.get(ctx, id, "/"+name)
		if err != nil || !bytes.Equal(have, want) {
			return false, err
		}
	}
	return true, nil
}

// put writes files into a container, which need not run. They are root's alone.
func (c *Central) put(ctx context.Context, id string, files folder) error {
	if len(files) == 0 {
		return nil
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	now := time.Now() // by which programs see that a file is another one
	for _, name := range slices.Sorted(maps.Keys(files)) {
		err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(files[name])), ModTime: now})
		if err == nil {
			_, err = w.Write(files[name])
		}
		if err != nil {
			return fmt.Errorf("packing %q: %w", name, err)
		}
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("packing files: %w", err)
	}
	return c.docker.CopyToContainer(ctx, id, "/", &archive, container.CopyToContainerOptions{})
}

// mostRead bounds what is read of a container's file.
const mostRead = 1 << 20

// get reads one file of a container; nil when there is none.
func (c *Central) get(ctx context.Context, id, path string) (_ []byte, err error) {
	archive, _, err := c.docker.CopyFromContainer(ctx, id, path)
	if errdefs.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, c.dockerError(fmt.Sprintf("reading %q in a container", path), err)
	}
	defer func() { err = errors.Join(err, archive.Close()) }()
	r := tar.NewReader(archive)
	if _, err := r.Next(); err != nil {
		return nil, fmt.Errorf("reading %q in a container: %w", path, err)
	}
	text, err := io.ReadAll(io.LimitReader(r, mostRead))
	if err != nil {
		return nil, fmt.Errorf("reading %q in a container: %w", path, err)
	}
	return text, nil
}
