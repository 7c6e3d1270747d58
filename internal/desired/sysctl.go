package desired

import (
	"strings"

	"reconciler/internal/resource"
	"reconciler/internal/strict"
)

func (b *builder) hostSysctls() {
	for _, e := range b.doc.Sysctl {
		value, ok := e.Val.Get()
		if !ok || !strings.HasPrefix(e.Name, "net") {
			continue
		}
		path := sysctlPath(e.Name)
		if strings.Contains(path, "//") || strings.Contains(path, "/../") || strings.HasSuffix(path, "/") {
			b.report.AtKey(e.Key, strict.Problemf("bad-name", "%q is not a kernel parameter", e.Name).
				Hinted("as sysctl prints it: net.ipv4.ip_forward"))
			continue
		}
		b.add(resource.Sysctl{Path: path, Link: linkOfSysctl(path), Value: string(value)}, declared(e.Key))
	}
}

// sysctlPath turns the name of a parameter into its path below /proc/sys. As
// with sysctl(8), the first separator decides: after net. a slash stands for a
// dot in a name, after net/ a dot is a dot.
func sysctlPath(name string) string {
	if strings.HasPrefix(name, "net/") {
		return name
	}
	swap := func(r rune) rune {
		switch r {
		case '.':
			return '/'
		case '/':
			return '.'
		}
		return r
	}
	return strings.Map(swap, name)
}

// linkOfSysctl is the link whose own parameter a path is.
func linkOfSysctl(path string) string {
	parts := strings.Split(path, "/")
	if len(parts) < 5 || parts[2] != "conf" || parts[3] == "all" || parts[3] == "default" {
		return ""
	}
	return parts[3]
}

func (b *builder) linkSysctls(link string, y *linkYAML) {
	b.familySysctls(link, resource.IPv4, y.Sysctl.IPv4)
	b.familySysctls(link, resource.IPv6, y.Sysctl.IPv6)
}

func (b *builder) familySysctls(link string, f resource.Family, m strict.Map[strict.V[sysctlValue]]) {
	for _, e := range m {
		if value, ok := e.Val.Get(); ok {
			b.add(resource.Sysctl{Path: resource.LinkSysctl(f, link, e.Name), Link: link, Value: string(value)}, declared(e.Key))
		}
	}
}
