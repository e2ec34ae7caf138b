package lab

import (
	"context"
	"maps"
	"regexp"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// askedAgain is when ovn-controller was asked to compute its flows anew, which is done a few seconds after what it is done for.
var askedAgain = regexp.MustCompile(`(ovs-container-network-repaired)="[^"]*"`)

// State is what a host holds, by kind, a line for each thing.
type State map[string][]string

// State reads it. OVN and OVS count as empty while they do not run.
func (l *Lab) State(ctx context.Context) State {
	GinkgoHelper()
	s := State{
		"docker networks":   l.Lines(ctx, "docker", "network", "ls", "--no-trunc", "--format", "{{.ID}} {{.Name}}"),
		"docker containers": l.Lines(ctx, "docker", "ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.Names}} {{.State}}"),
		"docker volumes":    l.Lines(ctx, "docker", "volume", "ls", "-q"),
		"namespaces":        l.namespaces(ctx),
		"links":             l.links(ctx),
		"state files":       slices.DeleteFunc(l.StateFiles(ctx), views.MatchString),
		"firewall":          l.firewall(ctx),
		"OVN northbound":    l.northbound(ctx),
	}
	if _, err := l.Run(ctx, "ovs-vsctl", "--timeout=2", "show"); err == nil {
		s["OVS bridges"] = l.Lines(ctx, "ovs-vsctl", "--format=csv", "--no-headings", "--columns=name,datapath_type,fail_mode", "list", "Bridge")
		s["OVS interfaces"] = l.Lines(ctx, "ovs-vsctl", "--format=csv", "--no-headings", "--columns=name,external_ids", "list", "Interface")
		s["OVS mirrors"] = l.Lines(ctx, "ovs-vsctl", "--format=csv", "--no-headings", "--columns=name,output_port,external_ids", "list", "Mirror")
		for _, line := range l.Lines(ctx, "ovs-vsctl", "--no-headings", "--columns=external_ids", "list", "Open_vSwitch") {
			s["OVS"] = append(s["OVS"], askedAgain.ReplaceAllString(line, "$1"))
		}
	}
	return s
}

// Changes tells how the host differs from a former state, a line for each difference.
func (l *Lab) Changes(ctx context.Context, before State) []string {
	GinkgoHelper()
	var changes []string
	after := l.State(ctx)
	for _, kind := range slices.Sorted(maps.Keys(after)) {
		for _, line := range after[kind] {
			if !slices.Contains(before[kind], line) {
				changes = append(changes, "new in "+kind+": "+line)
			}
		}
		for _, line := range before[kind] {
			if !slices.Contains(after[kind], line) {
				changes = append(changes, "gone from "+kind+": "+line)
			}
		}
	}
	return changes
}

// namespaces are those that are mounted. Docker leaves the empty files to a sweep of its own, once a minute.
func (l *Lab) namespaces(ctx context.Context) []string {
	GinkgoHelper()
	var found []string
	for _, line := range l.Lines(ctx, "cat", "/proc/mounts") {
		if f := strings.Fields(line); len(f) > 2 && f[2] == "nsfs" && !strings.HasSuffix(f[1], "/default") {
			found = append(found, f[1])
		}
	}
	return found
}

func (l *Lab) links(ctx context.Context) []string {
	GinkgoHelper()
	var names []string
	for _, line := range l.Lines(ctx, "ip", "-o", "link") {
		name, _, _ := strings.Cut(strings.Fields(line)[1], "@")
		names = append(names, strings.TrimSuffix(name, ":"))
	}
	return names
}

// StateFiles lists the plugin's files with the command of the README.
func (l *Lab) StateFiles(ctx context.Context) []string {
	GinkgoHelper()
	return l.Lines(ctx, "find", "/var/lib/docker/plugins", "-name", "*.json", "-path", "*/data/*")
}

var counters = regexp.MustCompile(`\[\d+:\d+\]`)

func (l *Lab) firewall(ctx context.Context) []string {
	GinkgoHelper()
	var rules []string
	for _, line := range l.Lines(ctx, "iptables-save") {
		if !strings.HasPrefix(line, "#") {
			rules = append(rules, counters.ReplaceAllString(line, ""))
		}
	}
	return rules
}

// northbound is every row of the NB but those that count and time.
func (l *Lab) northbound(ctx context.Context) []string {
	GinkgoHelper()
	out, err := l.Docker(ctx, "exec", "ovn-central", "ovsdb-client", "--format=csv", "dump", "unix:/var/run/ovn/ovnnb_db.sock", "OVN_Northbound")
	if err != nil {
		return nil
	}
	var rows []string
	table, header := "", false
	for _, line := range strings.Split(out, "\n") {
		switch {
		case strings.HasSuffix(line, " table"):
			table, header = strings.TrimSuffix(line, " table"), true
		case header:
			header = false
		case line != "" && table != "NB_Global" && table != "Connection":
			rows = append(rows, table+": "+line)
		}
	}
	return rows
}

// OVSOwned are the names of OVS interfaces that carry the owner's key.
func (l *Lab) OVSOwned(ctx context.Context) []string {
	GinkgoHelper()
	return l.Lines(ctx, "ovs-vsctl", "--bare", "--columns=name", "find", "Interface", "external_ids:owner="+Owner)
}

// NBOwned are the rows of the NB that carry the owner's key.
func (l *Lab) NBOwned(ctx context.Context) []string {
	GinkgoHelper()
	return slices.DeleteFunc(l.northbound(ctx), func(row string) bool { return !strings.Contains(row, "owner="+Owner) })
}

var (
	linkName = regexp.MustCompile(`^oc[ni][0-9a-f]{12}$`)
	// files that the plugin writes for people to read, in its own time
	views       = regexp.MustCompile(`/data/(ipam|ovn)/`)
	recordFiles = regexp.MustCompile(`/data/(networks|endpoints|ipam)/`)
)

// LinksOwned are the links of the host with the names that the plugin gives.
func (l *Lab) LinksOwned(ctx context.Context) []string {
	GinkgoHelper()
	return slices.DeleteFunc(l.links(ctx), func(name string) bool { return !linkName.MatchString(name) })
}

// Records are the state files that stand for a network, an endpoint or a pool.
func (l *Lab) Records(ctx context.Context) []string {
	GinkgoHelper()
	return slices.DeleteFunc(l.StateFiles(ctx), func(name string) bool { return !recordFiles.MatchString(name) })
}

// NothingLeft proves that no trace of a network or container of the plugin is on a host from which all were removed.
func (l *Lab) NothingLeft(ctx context.Context) {
	GinkgoHelper()
	Expect(l.ours(ctx)).To(BeEmpty(), "networks of the plugin")
	Soon(ctx, func(g Gomega) {
		g.Expect(l.NBOwned(ctx)).To(BeEmpty(), "rows of the NB")
		g.Expect(l.OVSOwned(ctx)).To(BeEmpty(), "OVS interfaces")
		g.Expect(l.LinksOwned(ctx)).To(BeEmpty(), "links of the host")
		g.Expect(l.Records(ctx)).To(BeEmpty(), "state files")
		zombies := slices.DeleteFunc(l.Lines(ctx, "ps", "-eo", "stat=,comm=,ppid="), func(p string) bool { return !strings.HasPrefix(p, "Z") })
		g.Expect(zombies).To(BeEmpty(), "processes that nobody waits for")
	})
}
