package trust_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"path/filepath"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/joined"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
	"github.com/ovs-container-lab/ovs-container-network/pkg/membership"
	"github.com/ovs-container-lab/ovs-container-network/pkg/pki"
)

var _ = Describe("what hosts share OVN by", Ordered, func() {
	traffic := joined.LastingFlow(&hosts)
	// answers waits until a host's plugin has answers of the databases, or none.
	answers := func(ctx context.Context, l *lab.Lab, state string) {
		GinkgoHelper()
		nb, _ := hosts.Connections(l)
		lab.Soon(ctx, func(g Gomega) { g.Expect(l.Command(ctx, "status")).To(MatchRegexp("northbound " + nb + " +" + state)) })
	}

	It("is a file for nobody else", func(ctx SpecContext) {
		const file = "/root/h9.invitation"
		hosts[0].Command(ctx, "invite", "h9", file)
		Expect(hosts[0].Must(ctx, "stat", "-c", "%a", file)).To(Equal("600"))
		Expect(hosts[0].CommandError(ctx, "invite", "h9", file)).To(ContainSubstring("file exists"))
		hosts[0].Must(ctx, "rm", file)
		log, err := hosts[0].Run(ctx, "grep", "-c", "PRIVATE KEY", "/var/log/dockerd.log")
		Expect(log).To(HavePrefix("0"), "keys in the log (%v)", err)
		traffic.Unharmed(ctx)
	}, suite.Hang)

	It("is found again by a plugin that has lost its records", func(ctx SpecContext) {
		data := hosts[1].DataDir(ctx)
		hosts[1].MustDocker(ctx, "plugin", "disable", "-f", host.PluginName)
		hosts[1].Must(ctx, "rm", "-rf", data)
		hosts[1].MustDocker(ctx, "plugin", "enable", host.PluginName)
		answers(ctx, hosts[1], "ok")
		traffic.Unharmed(ctx)
	}, suite.Hang)

	It("is made worthless by another authority, and made again", func(ctx SpecContext) {
		hosts[0].MustDocker(ctx, "exec", "ovn-central", "rm", "/var/lib/ovn/authority.json")
		hosts[0].RestartPlugin(ctx)
		answers(ctx, hosts[1], "does not answer")
		nb, sb := hosts.Connections(hosts[1])
		lab.Soon(ctx, func(g Gomega) { // nobody listens while what does is made anew
			g.Expect(hosts[1].NetworkError(ctx, lab.Net{Name: "wrong", Subnet: "10.9.0.0/24", Switch: "ls-wrong", NB: nb, SB: sb, Auto: true}.Args()...)).
				To(ContainSubstring("was signed by an authority that is not this host's"))
		})
		for i, l := range hosts[1:] {
			_, err := hosts.Join(ctx, l, hosts.Invite(ctx, fmt.Sprint("h", i+2)))
			Expect(err).NotTo(HaveOccurred())
			answers(ctx, l, "ok")
		}
		traffic.Unharmed(ctx)
	}, suite.Hang)

	It("is taken back, and offered again to the same hosts", func(ctx SpecContext) {
		offered := ContainElement(hosts[0].Address() + ":6641")
		joined.Set(ctx, hosts[0], "PLUGIN_CENTRAL_PUBLISH=")
		lab.Soon(ctx, func(g Gomega) { g.Expect(joined.Listens(ctx, hosts[0])).NotTo(offered) })
		joined.Set(ctx, hosts[0], "PLUGIN_CENTRAL_PUBLISH="+hosts[0].Address())
		lab.Soon(ctx, func(g Gomega) { g.Expect(joined.Listens(ctx, hosts[0])).To(offered) })
		answers(ctx, hosts[1], "ok")
		traffic.Unharmed(ctx)
	}, suite.Hang)

	It("ends with a certificate, and says so", func(ctx SpecContext) {
		files := filepath.Join(hosts[2].DataDir(ctx), "tls")
		hosts[2].Must(ctx, "rm", "-r", files) // by somebody who cleans up
		ends := time.Now().Add(25 * time.Second).Truncate(time.Second)
		_, err := hosts.Join(ctx, hosts[1], shortLived(ctx, "h2", ends))
		Expect(err).NotTo(HaveOccurred())
		Expect(hosts[1].Command(ctx, "status")).To(MatchRegexp(`certificate +"h2" until ` + ends.UTC().Format(time.DateOnly)))
		time.Sleep(time.Until(ends.Add(time.Second)))
		// A connection is made once, and good as long as it lasts.
		hosts[0].MustDocker(ctx, "restart", "-t", "0", "ovn-relay")
		answers(ctx, hosts[1], "does not answer")
		why := fmt.Sprintf("this host's certificate %q is valid from %s to %s, and not now", "h2", ends.Add(-time.Hour).UTC().Format(time.DateOnly), ends.UTC().Format(time.DateOnly))
		nb, sb := hosts.Connections(hosts[1])
		Expect(hosts[1].NetworkError(ctx, lab.Net{Name: "wrong", Subnet: "10.9.0.0/24", Switch: "ls-wrong", NB: nb, SB: sb, Auto: true}.Args()...)).To(ContainSubstring(why))
		Expect(hosts[1].Command(ctx, "status")).To(ContainSubstring(why))
		_, err = hosts.Join(ctx, hosts[1], shortLived(ctx, "h2", ends))
		Expect(err).To(MatchError(ContainSubstring(why)))
		_, err = hosts.Join(ctx, hosts[1], hosts.Invite(ctx, "h2"))
		Expect(err).NotTo(HaveOccurred())
		answers(ctx, hosts[1], "ok")
		traffic.Unharmed(ctx)

		By("and is there again where the files were removed")
		Eventually(func() (string, error) { return hosts[2].Run(ctx, "find", files, "-name", "*.pem", "-perm", "600") }).WithTimeout(time.Minute).WithPolling(time.Second).
			Should(And(ContainSubstring("ca.pem"), ContainSubstring("cert.pem"), ContainSubstring("key.pem")))
		answers(ctx, hosts[2], "ok")
	}, suite.Hang)

	It("goes over to another authority with nobody cut off", func(ctx SpecContext) {
		Expect(hosts[0].CommandError(ctx, "rotate", "--end")).To(ContainSubstring("no rotation of the certificates was begun"))
		Expect(hosts[1].CommandError(ctx, "rotate")).To(ContainSubstring("not published with TLS"))
		authorities := func(l *lab.Lab) int { // that the host trusts now
			files := l.Lines(ctx, "find", filepath.Join(l.DataDir(ctx), "tls"), "-name", "ca.pem", "-printf", "%T@ %p\n")
			_, newest, _ := strings.Cut(slices.Max(files), " ")
			return strings.Count(l.Must(ctx, "cat", newest), "BEGIN CERTIFICATE")
		}
		published := func() string { return hosts[0].Command(ctx, "status") }
		Expect(published()).To(MatchRegexp(`(?m)^published +at %s, authority until [-0-9]+$`, hosts[0].Address()))
		Expect(hosts[0].Command(ctx, "rotate")).To(ContainSubstring("invite all hosts again"))
		Expect(published()).To(MatchRegexp(`(?m)^published .*takes its place: .*rotate --end$`))
		_, err := hosts.Join(ctx, hosts[1], hosts.Invite(ctx, "h2"))
		Expect(err).NotTo(HaveOccurred())
		Expect(authorities(hosts[1])).To(Equal(2))
		hosts[0].MustDocker(ctx, "restart", "-t", "0", "ovn-relay")
		for _, l := range hosts[1:] { // the one has a certificate of the next authority, and the other of the present one
			answers(ctx, l, "ok")
		}
		Expect(hosts[0].Command(ctx, "rotate", "--end")).To(ContainSubstring("worth nothing"))
		Expect(published()).To(MatchRegexp(`(?m)^published .*until [-0-9]+$`))
		answers(ctx, hosts[1], "ok")
		answers(ctx, hosts[2], "does not answer")
		Eventually(func() int { return authorities(hosts[1]) }).WithTimeout(time.Minute).WithPolling(time.Second).Should(Equal(1))

		By("joined by files, as with an authority of one's own")
		i, err := membership.Read(hosts.Invite(ctx, "h3"), time.Now())
		Expect(err).NotTo(HaveOccurred())
		for name, text := range map[string][]byte{"ca": i.Identity.CA, "cert": i.Identity.Cert, "key": i.Identity.Key} {
			Expect(hosts[2].WriteFile(ctx, "/root/pki/"+name+".pem", text, 0o600)).To(Succeed())
		}
		hosts[2].Command(ctx, "join", "--nb", i.NB, "--sb", i.SB, "--ca-cert", "/root/pki/ca.pem", "--certificate", "/root/pki/cert.pem", "--private-key", "/root/pki/key.pem")
		answers(ctx, hosts[2], "ok")
		traffic.Unharmed(ctx)
	}, suite.Hang)
})

// shortLived is an invitation by OVN central's own authority whose certificate ends soon.
func shortLived(ctx context.Context, name string, ends time.Time) string {
	GinkgoHelper()
	var signer, pair pki.Pair
	Expect(json.Unmarshal([]byte(hosts[0].MustDocker(ctx, "exec", "ovn-central", "cat", "/var/lib/ovn/authority.json")), &signer)).To(Succeed())
	by, err := tls.X509KeyPair(signer.Cert, signer.Key)
	Expect(err).NotTo(HaveOccurred())
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	Expect(err).NotTo(HaveOccurred())
	raw, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: ends.Add(-time.Hour), NotAfter: ends,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, by.Leaf, &key.PublicKey, by.PrivateKey)
	Expect(err).NotTo(HaveOccurred())
	pair.Cert = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})
	raw, err = x509.MarshalPKCS8PrivateKey(key)
	Expect(err).NotTo(HaveOccurred())
	pair.Key = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
	nb, sb := hosts.Connections(hosts[1])
	text, err := membership.Invitation{Name: name, NB: nb, SB: sb, Identity: &pki.Identity{CA: signer.Cert, Pair: pair}}.Text()
	Expect(err).NotTo(HaveOccurred())
	return text
}
