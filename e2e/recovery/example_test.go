package recovery_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

// The README's example of what persists, step by step. Where Docker has no such command, the nearest one that does the same.
var _ = It("persists, as the example in the documentation says", Label("recovery"), func(ctx SpecContext) {
	By("1. create network with persistent state")
	l.MustDocker(ctx, "network", "create", "--driver", "ovs-container-network:latest",
		"--subnet", "10.0.0.0/24",
		"--opt", "ovn.switch=ls-prod",
		"--opt", "ovn.auto_create=true",
		"--opt", "ovn.nb_connection=tcp:172.30.0.5:6641",
		"--opt", "ovn.sb_connection=tcp:172.30.0.5:6642",
		"production-net")

	By("2. launch containers")
	l.MustDocker(ctx, "run", "-d", "--name", "web1", "--network", "production-net", host.ImageDemo)
	l.MustDocker(ctx, "run", "-d", "--name", "web2", "--network", "production-net", host.ImageDemo)

	By("3. verify connectivity")
	l.MustDocker(ctx, "exec", "web1", "ping", "-c", "2", "web2")
	traffic := l.Traffic(ctx, "web1", "web2", "production-net")
	addresses := []string{l.AddressOf(ctx, "web1", "production-net"), l.AddressOf(ctx, "web2", "production-net")}

	By("4. upgrade the plugin: one that was not pulled from a registry is removed and created, and its state carried over")
	upgrade(ctx)

	By("5. verify persistence - containers maintain connectivity")
	l.MustDocker(ctx, "exec", "web1", "ping", "-c", "2", "web2")
	Expect(traffic.Ends(ctx).Lost).To(BeZero())
	Expect([]string{l.AddressOf(ctx, "web1", "production-net"), l.AddressOf(ctx, "web2", "production-net")}).To(Equal(addresses))

	By("6. check state recovery in logs: a plugin's log is Docker's")
	Expect(l.Must(ctx, "sh", "-c", fmt.Sprintf(`tail -n +%d /var/log/dockerd.log | grep ovs-container-network | grep -i "restored\|recovered"`, logged+1))).
		To(MatchRegexp(`state restored.*networks\W+1\W+endpoints\W+2`))

	By("7. launch new container - gets next available IP")
	l.MustDocker(ctx, "run", "-d", "--name", "web3", "--network", "production-net", host.ImageDemo)
	l.MustDocker(ctx, "exec", "web3", "ping", "-c", "2", "web1")
	Expect(l.AddressOf(ctx, "web3", "production-net")).To(Equal("10.0.0.4"))

	By("8. inspect persistent state files")
	files := l.Lines(ctx, "sh", "-c", `find /var/lib/docker/plugins -name "*.json" -path "*/data/*" | head -5`)
	Expect(files).NotTo(BeEmpty())
	for _, file := range files {
		Expect(l.Must(ctx, "cat", file)).To(ContainSubstring(`"checksum": "sha256:`))
	}
	l.Agree(ctx)
}, suite.Hang)

// upgrade runs what make upgrade does, by the very script, with the plugin that was built.
func upgrade(ctx SpecContext) {
	GinkgoHelper()
	const top = "/var/upgrade"
	for _, part := range []string{"hack/env.sh", "hack/plugin.sh", "build/plugin"} {
		Expect(l.CopyIn(ctx, filepath.Join(host.Top(), part), filepath.Join(top, part))).To(Succeed())
	}
	DeferCleanup(func(ctx SpecContext) { l.Must(ctx, "rm", "-rf", top) }, suite.Hang)
	By("with a build that is another one")
	config, err := os.ReadFile(filepath.Join(host.Top(), "build/plugin/config.json"))
	Expect(err).NotTo(HaveOccurred())
	id := l.MustDocker(ctx, "plugin", "inspect", "-f", "{{.Id}}", host.PluginName)
	_, rest, found := strings.Cut(string(config), `"PLUGIN_BUILD"`)
	Expect(found).To(BeTrue())
	value, _, _ := strings.Cut(strings.SplitN(rest, `"value": "`, 2)[1], `"`)
	Expect(l.WriteFile(ctx, top+"/build/plugin/config.json", []byte(strings.Replace(string(config), value, "feedc0de", 1)), 0o644)).To(Succeed())
	By("being cut off when the old plugin is gone and the new one not there yet")
	Expect(l.WriteFile(ctx, top+"/bin/docker", []byte("#!/bin/sh\ncase \"$1 $2\" in 'plugin create') echo a fault >&2; exit 1 ;; esac\nexec /usr/bin/docker \"$@\"\n"), 0o755)).To(Succeed())
	_, err = l.Run(ctx, "env", "PATH="+top+"/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "bash", top+"/hack/plugin.sh", "upgrade")
	Expect(err).To(MatchError(ContainSubstring("the state is safe in /var/lib/docker/ovs-container-network-upgrade")))
	Expect(l.Docker(ctx, "plugin", "ls", "-q")).To(BeEmpty())
	By("and going on from there")
	l.Must(ctx, "bash", top+"/hack/plugin.sh", "upgrade")
	Expect(l.MustDocker(ctx, "plugin", "inspect", "-f", "{{.Id}}", host.PluginName)).NotTo(Equal(id))
	By("and a second time, which finds nothing to do")
	id = l.MustDocker(ctx, "plugin", "inspect", "-f", "{{.Id}}", host.PluginName)
	l.Must(ctx, "bash", top+"/hack/plugin.sh", "upgrade")
	Expect(l.MustDocker(ctx, "plugin", "inspect", "-f", "{{.Id}}", host.PluginName)).To(Equal(id))
}
