// Command pki makes the certificates and kubeconfigs of one local cluster.
//
//	pki DIR SERVER_URL SPEC...
//
// writes DIR/ca.crt and ca.key, DIR/sa.key and sa.pub (the service account signer), and for each SPEC
//
//	serving:NAME:SAN,SAN...    DIR/NAME.crt, DIR/NAME.key
//	client:NAME:USER[=GROUP]   DIR/NAME.crt, DIR/NAME.key, DIR/NAME.kubeconfig (self-contained)
//
// Everything is new each time and valid for ten years: a local cluster does not live longer than its state
// directory. Standard library only, so that it builds wherever the other tools build, in a second.
package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: pki DIR SERVER_URL (serving:NAME:SAN,SAN... | client:NAME:USER[=GROUP])...")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, "pki:", err)
		os.Exit(1)
	}
}

func run(dir, server string, specs []string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	ca, err := newAuthority()
	if err != nil {
		return err
	}
	if err := write(dir, "ca.crt", ca.certPEM, 0o644); err != nil {
		return err
	}
	if err := writeKey(dir, "ca.key", ca.key); err != nil {
		return err
	}
	if err := serviceAccountKeys(dir); err != nil {
		return err
	}
	for _, spec := range specs {
		if err := ca.issue(dir, server, spec); err != nil {
			return fmt.Errorf("%q: %w", spec, err)
		}
	}
	return nil
}

type authority struct {
	cert    *x509.Certificate
	certPEM []byte
	key     *ecdsa.PrivateKey
}

func newAuthority() (*authority, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	t := template("headworks local cluster", "")
	t.IsCA, t.BasicConstraintsValid = true, true
	t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature | x509.KeyUsageCRLSign
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &authority{cert, block("CERTIFICATE", der), key}, err
}

func (ca *authority) issue(dir, server, spec string) error {
	part := strings.SplitN(spec, ":", 3)
	if len(part) != 3 {
		return fmt.Errorf("want KIND:NAME:...")
	}
	kind, name, rest := part[0], part[1], part[2]
	var t *x509.Certificate
	switch kind {
	case "serving":
		t = template(name, "")
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		for _, san := range strings.Split(rest, ",") {
			if ip := net.ParseIP(san); ip != nil {
				t.IPAddresses = append(t.IPAddresses, ip)
			} else {
				t.DNSNames = append(t.DNSNames, san)
			}
		}
	case "client":
		// User and group are names such as `system:node:node1` and `system:nodes`: the `=` divides them.
		user, group, _ := strings.Cut(rest, "=")
		t = template(user, group)
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	default:
		return fmt.Errorf("unknown kind %q: want serving or client", kind)
	}
	key, err := newKey()
	if err != nil {
		return err
	}
	der, err := x509.CreateCertificate(rand.Reader, t, ca.cert, key.Public(), ca.key)
	if err != nil {
		return err
	}
	cert := block("CERTIFICATE", der)
	if err := write(dir, name+".crt", cert, 0o644); err != nil {
		return err
	}
	if err := writeKey(dir, name+".key", key); err != nil {
		return err
	}
	if kind != "client" {
		return nil
	}
	keyPEM, err := keyBlock(key)
	if err != nil {
		return err
	}
	return write(dir, name+".kubeconfig", kubeconfig(server, ca.certPEM, cert, keyPEM), 0o600)
}

func serviceAccountKeys(dir string) error {
	key, err := newKey()
	if err != nil {
		return err
	}
	if err := writeKey(dir, "sa.key", key); err != nil {
		return err
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	return write(dir, "sa.pub", block("PUBLIC KEY", der), 0o644)
}

func template(commonName, organization string) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)) // crypto/rand does not fail
	now := time.Now()
	t := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: commonName},
		NotBefore:    now.Add(-time.Hour), // a virtual machine's clock may step back a little
		NotAfter:     now.AddDate(10, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
	if organization != "" {
		t.Subject.Organization = []string{organization}
	}
	return t
}

func kubeconfig(server string, ca, cert, key []byte) []byte {
	enc := base64.StdEncoding.EncodeToString
	return fmt.Appendf(nil, `apiVersion: v1
kind: Config
clusters:
- name: headworks
  cluster:
    server: %s
    certificate-authority-data: %s
users:
- name: headworks
  user:
    client-certificate-data: %s
    client-key-data: %s
contexts:
- name: headworks
  context: {cluster: headworks, user: headworks}
current-context: headworks
`, server, enc(ca), enc(cert), enc(key))
}

func newKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func keyBlock(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key.(*ecdsa.PrivateKey))
	return block("EC PRIVATE KEY", der), err
}

func writeKey(dir, name string, key crypto.Signer) error {
	b, err := keyBlock(key)
	if err != nil {
		return err
	}
	return write(dir, name, b, 0o600)
}

func write(dir, name string, content []byte, mode os.FileMode) error {
	return os.WriteFile(filepath.Join(dir, name), content, mode)
}
