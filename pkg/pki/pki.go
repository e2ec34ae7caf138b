package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"time"
)

// validity is how long an authority and all that it signs are valid; early, how long
// before they are made, since the clocks of hosts differ.
const (
	validity = 10 * 365 * 24 * time.Hour
	early    = 24 * time.Hour
)

// Soon is how long before the end of a certificate it is time to put another in its place.
const Soon = 30 * 24 * time.Hour

// Authority signs certificates.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Pair is a certificate and its key, both as PEM (RFC 7468).
type Pair struct {
	Cert []byte `json:"certificate"`
	Key  []byte `json:"key"`
}

// New makes an authority.
func New(now time.Time) (Authority, error) {
	t, err := template("ovs-container-network", now)
	if err != nil {
		return Authority{}, err
	}
	t.NotAfter = now.Add(validity)
	t.IsCA, t.BasicConstraintsValid, t.MaxPathLenZero = true, true, true
	t.KeyUsage = x509.KeyUsageCertSign
	p, err := sign(t, nil)
	if err != nil {
		return Authority{}, err
	}
	return Read(p)
}

// Read reads an authority.
func Read(p Pair) (Authority, error) {
	cert, err := readCert(p.Cert)
	if err != nil {
		return Authority{}, err
	}
	key, err := readKey(p.Key)
	if err != nil {
		return Authority{}, err
	}
	if !cert.IsCA || !key.PublicKey.Equal(cert.PublicKey) {
		return Authority{}, errors.New("the certificate is not that of an authority with this key")
	}
	return Authority{cert: cert, key: key}, nil
}

// Cert is the authority's certificate, by which those that it has signed are known.
func (a Authority) Cert() []byte { return encode("CERTIFICATE", a.cert.Raw) }

// Until is when the authority ends, and all that it has signed.
func (a Authority) Until() time.Time { return a.cert.NotAfter }

// Pair is all of the authority: whoever has it is the authority.
func (a Authority) Pair() (Pair, error) {
	key, err := encodeKey(a.key)
	return Pair{Cert: a.Cert(), Key: key}, err
}

// Server makes the certificate of databases at an address.
func (a Authority) Server(at netip.Addr, now time.Time) (Pair, error) {
	t, err := template("databases at "+at.String(), now)
	if err != nil {
		return Pair{}, err
	}
	t.IPAddresses = []net.IP{at.AsSlice()}
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	return sign(t, &a)
}

// Client makes the certificate of a host.
func (a Authority) Client(name string, now time.Time) (Pair, error) {
	t, err := template(name, now)
	if err != nil {
		return Pair{}, err
	}
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	return sign(t, &a)
}

func template(name string, now time.Time) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("numbering a certificate: %w", err)
	}
	return &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-early), KeyUsage: x509.KeyUsageDigitalSignature}, nil
}

// sign makes a key and its certificate, signed by the authority, or by itself without one.
func sign(t *x509.Certificate, by *Authority) (Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, fmt.Errorf("making a key: %w", err)
	}
	parent, signer := t, key
	if by != nil {
		parent, signer = by.cert, by.key
		t.NotAfter = by.cert.NotAfter
	}
	raw, err := x509.CreateCertificate(rand.Reader, t, parent, &key.PublicKey, signer)
	if err != nil {
		return Pair{}, fmt.Errorf("signing a certificate: %w", err)
	}
	p := Pair{Cert: encode("CERTIFICATE", raw)}
	p.Key, err = encodeKey(key)
	return p, err
}

func encode(kind string, raw []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw})
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding a key: %w", err)
	}
	return encode("PRIVATE KEY", raw), nil
}

func readCert(text []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("there is no certificate in PEM")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("reading a certificate: %w", err)
	}
	return cert, nil
}

func readKey(text []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("there is no private key in PEM (PKCS #8)")
	}
	read, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("the private key cannot be read") // what it says is nobody's business
	}
	key, ok := read.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("the private key is none of an elliptic curve")
	}
	return key, nil
}
