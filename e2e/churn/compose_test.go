package churn_test

import (
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

// The README's Compose example; only the images are replaced, since there is no registry here.
var composeFile = strings.NewReplacer("image: nginx", "image: "+host.ImageDemo, "image: postgres", "image: "+host.ImageDemo).Replace(`
version: '3.8'

networks:
  ovn-net:
    driver: ovs-container-network:latest
    driver_opts:
      # Required OVN configuration
      ovn.switch: ls-development
      ovn.nb_connection: tcp:172.30.0.5:6641
      ovn.sb_connection: tcp:172.30.0.5:6642
      ovn.auto_create: "true"
      # Optional configuration
      bridge: br-int
      tenant_id: development
      vlan: "100"
    ipam:
      config:
        - subnet: 10.0.0.0/24

services:
  web:
    image: nginx
    networks:
      - ovn-net

  db:
    image: postgres
    networks:
      - ovn-net
`)

var _ = Describe("the README's Compose example", Label("churn"), func() {
	It("comes up, works by the services' names, and goes without a trace", func(ctx SpecContext) {
		const file = "/var/tmp/project/docker-compose.yml"
		Expect(l.WriteFile(ctx, file, []byte(composeFile), 0o644)).To(Succeed())
		compose := func(args ...string) string {
			GinkgoHelper()
			return l.Must(ctx, append([]string{"docker-compose", "-f", file, "--no-ansi"}, args...)...)
		}
		compose("up", "-d")
		compose("exec", "-T", "web", "ping", "-c", "1", "-W", "2", "db")
		Expect(compose("exec", "-T", "db", "timeout", "10", "wget", "-q", "-O", "-", "http://web/")).To(ContainSubstring("hello"))
		By("keeping a second `up` and a restart harmless")
		compose("up", "-d")
		compose("restart", "-t", "0")
		compose("exec", "-T", "web", "ping", "-c", "1", "-W", "2", "db")
		compose("down", "-t", "0")
		l.NothingLeft(ctx)
	}, suite.Hang)
})
