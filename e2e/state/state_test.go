package state_test

import (
	"context"
	"path"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
	"github.com/ovs-container-lab/ovs-container-network/e2e/suite"
)

var n1 = lab.Net{Name: "n1", Subnet: "10.0.0.0/24", Switch: "ls-1", Auto: true}

// running has two containers on a network, and traffic between them.
func running(ctx context.Context) *lab.Traffic {
	GinkgoHelper()
	l.Network(ctx, n1)
	l.Container(ctx, "web1", "n1")
	l.Container(ctx, "web2", "n1")
	return l.Traffic(ctx, "web1", "web2", "n1")
}

// works proves that a new container gets the next free address and reaches the others.
func works(ctx context.Context) {
	GinkgoHelper()
	l.Container(ctx, "new", "n1")
	Expect(l.AddressOf(ctx, "new", "n1")).To(Equal("10.0.0.4"))
	l.Ping(ctx, "new", "web1")
	l.MustDocker(ctx, "rm", "-f", "new")
}

// while runs something while the plugin is disabled.
func while(ctx context.Context, do func()) {
	GinkgoHelper()
	l.MustDocker(ctx, "plugin", "disable", "-f", host.PluginName)
	do()
	l.MustDocker(ctx, "plugin", "enable", host.PluginName)
}

// files are the records of the network and of one endpoint.
func files(ctx context.Context) []string {
	GinkgoHelper()
	e := l.Endpoint(ctx, "web2", "n1")
	return []string{path.Join(l.DataDir(ctx), "networks", e.NetworkID+".json"), path.Join(l.DataDir(ctx), "endpoints", e.EndpointID+".json")}
}

// report is what status says of the recovery.
func report(ctx context.Context) string {
	GinkgoHelper()
	return l.Command(ctx, "status")
}

var _ = DescribeTable("a state file that is", func(spec SpecContext, keepsBackup bool, damage string) {
	ctx, cancel := context.WithTimeout(spec, time.Duration(suite.Hang))
	defer cancel()
	traffic := running(ctx)
	damaged := files(ctx)
	while(ctx, func() {
		for _, file := range damaged {
			l.Must(ctx, "sh", "-c", strings.ReplaceAll(damage, "FILE", "'"+file+"'"))
		}
	})
	l.Agree(ctx)
	works(ctx)
	Expect(traffic.Ends(ctx).Lost).To(BeZero())
	Expect(report(ctx)).To(MatchRegexp(`rebuilt\s+network n1`))
	for _, file := range damaged {
		_, err := l.Run(ctx, "test", "-e", file+".backup")
		Expect(err == nil).To(Equal(keepsBackup), "a backup of %s", file)
		if keepsBackup {
			Expect(report(ctx)).To(MatchRegexp(`state file not used.*` + path.Base(file)))
			l.Must(ctx, "rm", "-rf", file+".backup")
		}
	}
},
	Entry("truncated", true, `truncate -s 100 FILE`),
	Entry("emptied", true, `truncate -s 0 FILE`),
	Entry("changed in one bit", true, `sed -i 's/"ready"/"seady"/' FILE`),
	Entry("removed", false, `rm FILE`),
	Entry("a folder", true, `rm FILE && mkdir -p FILE/inner`),
	Entry("from a newer version", true, `jq '.schema = 99 | del(.checksum)' FILE > /tmp/f && cat /tmp/f > FILE`),
)

var _ = It("is the instance's alone that is damaged, and its rows stay its own", func(ctx SpecContext) {
	traffic := running(ctx)
	instance := path.Join(l.DataDir(ctx), "instance.json")
	uuid := l.Must(ctx, "jq", "-r", ".data.uuid", instance)
	while(ctx, func() { l.Must(ctx, "truncate", "-s", "20", instance) })
	l.Agree(ctx)
	works(ctx)
	Expect(l.Must(ctx, "jq", "-r", ".data.uuid", instance)).To(Equal(uuid))
	l.Must(ctx, "rm", instance+".backup")
	Expect(traffic.Ends(ctx).Lost).To(BeZero())
}, suite.Hang)

var _ = It("belongs to another user, and is read all the same", func(ctx SpecContext) {
	traffic := running(ctx)
	while(ctx, func() {
		for _, file := range files(ctx) {
			l.Must(ctx, "chown", "1234:1234", file)
			l.Must(ctx, "chmod", "600", file)
		}
	})
	l.Agree(ctx)
	works(ctx)
	Expect(traffic.Ends(ctx).Lost).To(BeZero())
	Expect(report(ctx)).NotTo(ContainSubstring("rebuilt"))
}, suite.Hang)

// mode sets PLUGIN_RECOVERY_MODE of the disabled plugin.
func mode(ctx context.Context, m string) {
	GinkgoHelper()
	l.MustDocker(ctx, "plugin", "set", host.PluginName, "PLUGIN_RECOVERY_MODE="+m)
}

var _ = Describe("the recovery mode", func() {
	It("strict refuses every request, says why and what to do, and changes nothing", func(ctx SpecContext) {
		traffic := running(ctx)
		damaged := files(ctx)[0]
		good := l.Must(ctx, "cat", damaged)
		while(ctx, func() {
			mode(ctx, "strict")
			l.Must(ctx, "truncate", "-s", "100", damaged)
		})
		DeferCleanup(func(ctx SpecContext) { while(ctx, func() { mode(ctx, "lenient") }) }, suite.Hang)
		text := l.NetworkError(ctx, lab.Net{Name: "n2", Subnet: "10.2.0.0/24", Switch: "ls-2"}.Args()...)
		Expect(text).To(SatisfyAll(ContainSubstring("strict"), ContainSubstring(path.Base(damaged)), ContainSubstring("PLUGIN_RECOVERY_MODE=lenient")))
		Expect(report(ctx)).To(ContainSubstring("refuses all requests"))
		By("restoring the file")
		while(ctx, func() { Expect(l.WriteFile(ctx, damaged, []byte(good), 0o600)).To(Succeed()) })
		l.Agree(ctx)
		works(ctx)
		Expect(traffic.Ends(ctx).Lost).To(BeZero())
	}, suite.Hang)

	It("skip starts without the files, keeps them aside, and rebuilds what Docker knows", func(ctx SpecContext) {
		traffic := running(ctx)
		aside := files(ctx)[0] + ".backup"
		while(ctx, func() { mode(ctx, "skip") })
		l.Agree(ctx)
		works(ctx)
		Expect(traffic.Ends(ctx).Lost).To(BeZero())
		Expect(l.Must(ctx, "cat", aside)).To(ContainSubstring("ls-1"))
		Expect(report(ctx)).To(SatisfyAll(ContainSubstring("recovery mode is skip"), MatchRegexp(`rebuilt\s+network n1`)))
		while(ctx, func() {
			mode(ctx, "lenient")
			l.Must(ctx, "sh", "-c", "rm "+path.Join(l.DataDir(ctx), "*", "*.backup"))
		})
	}, suite.Hang)
})
