package pki

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"time"
)

// Identity is what a host shows to databases, and knows them by.
type Identity struct {
	CA []byte `json:"ca"` // PEM; several while one authority takes the place of another
	Pair
}

// Check returns why databases would refuse the identity, as far as it shows.
func (i Identity) Check(now time.Time) error {
	if _, err := readCert(i.CA); err != nil {
		return fmt.Errorf("reading the authority: %w", err)
	}
	cert, err := readCert(i.Cert)
	if err != nil {
		return fmt.Errorf("reading the host's certificate: %w", err)
	}
	if _, err := tls.X509KeyPair(i.Cert, i.Key); err != nil {
		return errors.New("the private key is not that of the certificate")
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(i.CA)
	_, err = cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return reason("this host's certificate", cert, err)
}

// Until is when the identity ends.
func (i Identity) Until() time.Time {
	cert, err := readCert(i.Cert)
	if err != nil {
		return time.Time{}
	}
	return cert.NotAfter
}

// Narrow returns the identity without all authorities but the first, and whether there
// were others.
func (i Identity) Narrow() (Identity, bool) {
	first, rest := pem.Decode(i.CA)
	if first == nil || len(bytes.TrimSpace(rest)) == 0 {
		return i, false
	}
	i.CA = pem.EncodeToMemory(first)
	return i, true
}

// Greet returns why there is no TLS with any of the databases at "HOST:PORT".
func (i Identity) Greet(ctx context.Context, addresses []string) error {
	var all []error
	for _, address := range addresses {
		err := i.dial(ctx, address)
		if err == nil {
			return nil
		}
		all = append(all, err)
	}
	err := errors.Join(all...)
	if errors.Is(err, errRefused) {
		if why := i.Check(time.Now()); why != nil {
			return why
		}
	}
	return err
}

// dial returns why there is no TLS with the databases at "HOST:PORT". The programs that
// talk to them say that in their logs, if at all.
func (i Identity) dial(ctx context.Context, address string) error {
	pair, err := tls.X509KeyPair(i.Cert, i.Key)
	if err != nil {
		return errors.New("the private key is not that of the certificate")
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(i.CA)
	d := tls.Dialer{Config: &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair},
		// Names are nobody's concern here, as with Open vSwitch's own programs; who has signed is.
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection does it
		VerifyConnection: func(s tls.ConnectionState) error {
			cert := s.PeerCertificates[0]
			_, err := cert.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
			return reason("the databases' certificate", cert, err)
		},
	}}
	conn, err := d.DialContext(ctx, "tcp", address)
	var said *net.OpError
	if errors.As(err, &said) && said.Op == "remote error" { // an alert, as package crypto/tls reports it
		return refused(address, err)
	}
	if err != nil {
		return fmt.Errorf("TLS with %s: %w", address, err)
	}
	defer func() { _ = conn.Close() }()
	return heard(ctx, conn, address)
}

// echo is what every OVSDB server answers (RFC 7047, 4.1.11).
const echo = `{"id":"echo","method":"echo","params":[]}`

// heard waits for an answer: in TLS 1.3 the client takes the connection for made before
// the server has looked at its certificate.
func heard(ctx context.Context, conn net.Conn, address string) error {
	if at, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(at); err != nil {
			return fmt.Errorf("TLS with %s: %w", address, err)
		}
	}
	_, err := conn.Write([]byte(echo))
	if err == nil {
		_, err = conn.Read(make([]byte, 1))
	}
	if err != nil {
		return refused(address, err)
	}
	return nil
}

var errRefused = errors.New("this host's certificate was refused, or no OVSDB server listens there")

func refused(address string, err error) error {
	return fmt.Errorf("TLS with %s: %w: %v", address, errRefused, err) //nolint:errorlint // what the other end says is text
}

// reason says in words what is wrong with a certificate.
func reason(whose string, cert *x509.Certificate, err error) error {
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Errorf("%s %q is valid from %s to %s, and not now", whose, cert.Subject.CommonName, cert.NotBefore.UTC().Format(time.DateOnly), cert.NotAfter.UTC().Format(time.DateOnly))
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		return fmt.Errorf("%s %q was made for something else", whose, cert.Subject.CommonName)
	case errors.As(err, &unknown):
		return fmt.Errorf("%s %q was signed by an authority that is not this host's", whose, cert.Subject.CommonName)
	}
	return fmt.Errorf("%s %q: %w", whose, cert.Subject.CommonName, err)
}
