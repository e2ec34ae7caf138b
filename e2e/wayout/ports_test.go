package wayout_test

import (
	"context"
	"regexp"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

// echo answers datagrams in a container, at port 53, with the container's name. The host's Python does it, in the container's
// network: the image has no server for UDP.
func echo(ctx context.Context, container string) {
	GinkgoHelper()
	const server = `
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 53))
while True:
    _, sender = s.recvfrom(100)
    s.sendto(sys.argv[1].encode(), sender)
`
	pid := l.MustDocker(ctx, "inspect", "-f", "{{.State.Pid}}", container)
	stop, err := l.Start(ctx, "/var/log/echo.log", "nsenter", "-n", "-t", pid, "python3", "-c", server, container)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(stop)
}

// answer is what a client outside gets from port 5353 of the host, always asking from the same port; "" for nothing.
func answer(ctx context.Context) string {
	const client = `
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 7777))
s.settimeout(0.5)
for _ in range(4):
    s.sendto(b"who?", (sys.argv[1], 5353))
    try:
        print(s.recv(100).decode())
        break
    except OSError:
        pass
`
	GinkgoHelper()
	return outside.Must(ctx, "python3", "-c", client, l.Address())
}

var _ = It("publishes UDP, to clients too that have asked from the same port before", Label("wayout"), func(ctx SpecContext) {
	l.Network(ctx, routed("a", "10.0.0.0/24"))
	Expect(answer(ctx)).To(BeEmpty())
	l.Container(ctx, "first", "a", "-p", "5353:53/udp")
	echo(ctx, "first")
	Expect(answer(ctx)).To(Equal("first"))
	By("leading to the container that has the port now")
	l.MustDocker(ctx, "rm", "-f", "first")
	l.Container(ctx, "other", "a")
	l.Container(ctx, "second", "a", "-p", "5353:53/udp")
	echo(ctx, "second")
	Expect(answer(ctx)).To(Equal("second"))
}, suite.Hang)

var _ = It("chooses ports of the host, and says which", Label("wayout"), func(ctx SpecContext) {
	l.Network(ctx, routed("a", "10.0.0.0/24"))
	l.Container(ctx, "any", "a", "--expose", "80", "-P")
	l.Container(ctx, "one", "a", "-p", "9200-9201:80")
	l.Container(ctx, "two", "a", "-p", "9200-9201:80")
	l.Container(ctx, "both", "a", "-p", "9300-9301:80-81")
	_, err := l.Docker(ctx, "run", "-d", "--name", "three", "--network", "a", "-p", "9200-9201:80", host.ImageDemo)
	Expect(err).To(HaveOccurred(), "the range is used up")
	l.MustDocker(ctx, "rm", "-f", "three")
	ports := regexp.MustCompile(`\*:(\d+)->80/tcp`).FindAllStringSubmatch(l.Command(ctx, "status"), -1)
	Expect(ports).To(HaveLen(4))
	var chosen []string
	for _, p := range ports {
		chosen = append(chosen, p[1])
		Expect(curl(ctx, outside, "http://"+l.Address()+":"+p[1]+"/")).To(ContainSubstring("hello"))
	}
	Expect(chosen).To(ContainElements("9200", "9201", "9300"))
}, suite.Hang)
