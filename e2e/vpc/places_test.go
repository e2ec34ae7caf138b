package vpc_test

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sync/errgroup"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
	"github.com/ovs-container-lab/ovs-container-network/e2e/lab"
)

// transit is a transit network.
func transit(name, subnet string) lab.Net {
	return lab.Net{Name: name, Subnet: subnet, Auto: true, Options: []string{"ovn.role=transit"}}
}

// vpc is a network with a router of its own, which is attached to a transit network unless that is "".
func vpc(name, subnet, transit string) lab.Net {
	n := lab.Net{Name: name + "-net", Subnet: subnet, Switch: "ls-" + name, Options: []string{"ovn.router=lr-" + name, "tenant_id=tenant-" + name}}
	if transit != "" {
		n.Options = append(n.Options, "ovn.transit_network="+transit)
	}
	return n
}

// place is a container, and where it is: its network, the router of that network, and the transit network that the router is on.
// On a transit network itself there is no router.
type place struct{ name, network, router, transit string }

// in is a container of the same name as its vpc.
func in(name, transit string) place { return place{name, name + "-net", "lr-" + name, transit} }

// ttl is what is left of the 64 hops that an answer sets out with, for each router takes one; 0 where none may arrive.
func ttl(at, from place) int {
	switch {
	case at.network == from.network:
		return 64
	case at.router == from.router && at.router != "":
		return 63
	case at.transit == "" || at.transit != from.transit:
		return 0
	case at.router == "":
		return 63 // the router of a VPC is on the transit network itself
	case from.router == "":
		return 62 // a container on the transit network sends through the gateway router
	}
	return 61
}

// run starts containers side by side.
func run(ctx context.Context, places ...place) {
	GinkgoHelper()
	var work errgroup.Group
	for _, p := range places {
		work.Go(func() error {
			_, err := l.Docker(ctx, "run", "-d", "--name", p.name, "--network", p.network, host.ImageDemo)
			return err
		})
	}
	Expect(work.Wait()).To(Succeed())
}

// meet proves that every container reaches just those others that it should, over as many routers as it should.
func meet(ctx context.Context, places ...place) {
	GinkgoHelper()
	inspect := []string{"docker", "inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"}
	for _, p := range places {
		inspect = append(inspect, p.name)
	}
	addresses := l.Lines(ctx, inspect...)
	Expect(addresses).To(HaveLen(len(places)))
	lab.Soon(ctx, func(g Gomega) {
		wrong, err := mismatches(ctx, places, addresses)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(wrong).To(BeEmpty())
	})
}

// mismatches are the answers that are not as they should be, a sentence each.
func mismatches(ctx context.Context, places []place, addresses []string) ([]string, error) {
	got := make([]map[string]int, len(places))
	var work errgroup.Group
	for i, p := range places {
		work.Go(func() (err error) {
			got[i], err = pings(ctx, p.name, addresses)
			return err
		})
	}
	if err := work.Wait(); err != nil {
		return nil, err
	}
	var wrong []string
	for i, at := range places {
		for j, from := range places {
			if have, want := got[i][addresses[j]], ttl(at, from); i != j && have != want {
				wrong = append(wrong, fmt.Sprintf("the answer of %s to %s has TTL %d, and should have %d", from.name, at.name, have, want))
			}
		}
	}
	return wrong, nil
}

// All at once, since a docker exec takes longer than a ping.
const pingAll = `for a in "$@"; do ping -c 1 -W 1 "$a" & done; wait`

var answer = regexp.MustCompile(`from ([0-9.]+): seq=\d+ ttl=(\d+)`)

// pings returns the TTLs of the answers that a container gets, by address.
func pings(ctx context.Context, container string, addresses []string) (map[string]int, error) {
	out, err := l.Docker(ctx, append([]string{"exec", container, "sh", "-c", pingAll, "sh"}, addresses...)...)
	if err != nil {
		return nil, err
	}
	all := map[string]int{}
	for _, m := range answer.FindAllStringSubmatch(out, -1) {
		if all[m[1]], err = strconv.Atoi(m[2]); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// download proves that 5 MB of TCP arrive unharmed.
func download(ctx context.Context, at, from place) {
	GinkgoHelper()
	l.Exec(ctx, from.name, "dd", "if=/dev/urandom", "of=/www/blob", "bs=1M", "count=5")
	sum, _, _ := strings.Cut(l.Exec(ctx, from.name, "sha256sum", "/www/blob"), " ")
	l.Exec(ctx, at.name, "timeout", "10", "wget", "-q", "-O", "/tmp/blob", "http://"+l.AddressOf(ctx, from.name, from.network)+"/blob")
	Expect(l.Exec(ctx, at.name, "sha256sum", "/tmp/blob")).To(HavePrefix(sum))
}

// routers are the names of the logical routers.
func routers(ctx context.Context) []string {
	GinkgoHelper()
	return strings.Fields(l.NBCtl(ctx, "--bare", "--columns=name", "list", "Logical_Router"))
}

// rows name all that switches and routes in the northbound database, whoever made it.
func rows(ctx context.Context) []string {
	GinkgoHelper()
	return strings.Fields(l.NBCtl(ctx, "--bare",
		"--columns=name", "list", "Logical_Switch", "--",
		"--columns=name", "list", "Logical_Switch_Port", "--",
		"--columns=name", "list", "Logical_Router", "--",
		"--columns=name", "list", "Logical_Router_Port", "--",
		"--columns=ip_prefix", "list", "Logical_Router_Static_Route"))
}
