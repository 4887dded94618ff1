package runwire_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"runwire.dev/go/runwire"
	"runwire.dev/go/runwire/internal/servertest"
)

func TestMain(m *testing.M) { os.Exit(servertest.Main(m)) }

func newClient(t *testing.T, options ...runwire.ClientOption) *runwire.Client {
	t.Helper()
	return newClientAt(t, "", options...)
}

func newClientAt(t *testing.T, at string, options ...runwire.ClientOption) *runwire.Client {
	t.Helper()
	client, err := runwire.New(at, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func newServer(t *testing.T, folder, config string) *servertest.Server {
	t.Helper()
	started, err := servertest.Start(folder, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(started.Stop)
	return started
}

// authority signs certificates for the tests of TLS.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	template := &x509.Certificate{
		NotBefore:    time.Now().Add(-time.Hour),
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "tests"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a := &authority{}
	a.certificate, a.key = a.sign(t, template)
	return a
}

func (a *authority) sign(t *testing.T, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	parent, parentKey := a.certificate, a.key
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate, key
}

// issue makes a certificate of a name, and writes it and its key beside each other.
func (a *authority) issue(t *testing.T, folder, name string) (certificate, key string) {
	t.Helper()
	leaf, leafKey := a.sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	der, err := x509.MarshalPKCS8PrivateKey(leafKey)
	if err != nil {
		t.Fatal(err)
	}
	certificate, key = filepath.Join(folder, name+".crt"), filepath.Join(folder, name+".pem")
	writePEM(t, certificate, "CERTIFICATE", leaf.Raw)
	writePEM(t, key, "PRIVATE"+" KEY", der)
	return certificate, key
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return pool
}

func writePEM(t *testing.T, file, kind string, der []byte) {
	t.Helper()
	text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestABearerTokenIsSentAndAWrongOneIsATypedError(t *testing.T) {
	folder, token := t.TempDir(), "for-this-test-only"
	sum := sha256.Sum256([]byte(token))
	tokens := filepath.Join(folder, "tokens.toml")
	entry := fmt.Sprintf("[[token]]\nname = 'go'\ntenant = 'tests'\nscopes = ['completions']\nsha256 = '%s'\n", hex.EncodeToString(sum[:]))
	if err := os.WriteFile(tokens, []byte(entry), 0o600); err != nil {
		t.Fatal(err)
	}
	at := newServer(t, folder, fmt.Sprintf("[auth]\nmode = 'tokens'\ntokens_file = '%s'\n", tokens)).Address
	ctx := t.Context()

	if _, err := newClientAt(t, at, runwire.WithToken(token)).Complete(ctx, "script:echo", runwire.Text("hi")); err != nil {
		t.Fatal(err)
	}
	_, err := newClientAt(t, at, runwire.WithToken("wrong")).Complete(ctx, "script:echo", runwire.Text("hi"))
	wantReason(t, err, runwire.ReasonCredentialsInvalid)
	_, err = newClientAt(t, at).Complete(ctx, "script:echo", runwire.Text("hi"))
	wantReason(t, err, runwire.ReasonCredentialsMissing)
	_, err = newClientAt(t, at, runwire.WithToken(token)).GetRun(ctx, "run_018f0000000070008000000000000000")
	wantReason(t, err, runwire.ReasonPermissionDenied)
}

func TestMutualTLSIsSpokenBothWays(t *testing.T) {
	folder, authority := t.TempDir(), newAuthority(t)
	serverCert, serverKey := authority.issue(t, folder, "localhost")
	clientCert, clientKey := authority.issue(t, folder, "caller")
	ca := filepath.Join(folder, "ca.crt")
	writePEM(t, ca, "CERTIFICATE", authority.certificate.Raw)
	at := newServer(t, folder, fmt.Sprintf(`
[server.tls]
cert = '%s'
key = '%s'
client_ca = '%s'
[auth]
mode = "mtls"
[auth.principals.caller]
scopes = ["completions"]
`, serverCert, serverKey, ca)).Address
	pair, err := tls.LoadX509KeyPair(clientCert, clientKey)
	if err != nil {
		t.Fatal(err)
	}
	known := &tls.Config{RootCAs: authority.pool(), Certificates: []tls.Certificate{pair}}
	client := newClientAt(t, at, runwire.WithTLS(known))
	if _, err := client.Complete(t.Context(), "script:echo", runwire.Text("hi")); err != nil {
		t.Fatal(err)
	}
	for name, config := range map[string]*tls.Config{
		"no certificate": {RootCAs: authority.pool()},
		"no authority":   {Certificates: []tls.Certificate{pair}},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if _, err := newClientAt(t, at, runwire.WithTLS(config)).Complete(ctx, "script:echo", runwire.Text("hi")); err == nil {
			t.Errorf("%s: the call was let through", name)
		}
		cancel()
	}
}
