package health

import (
	"net/netip"
	"testing"
	"time"
)

func TestDefaults(t *testing.T) {
	var ok StatusSet
	ok.Add(200, 299)
	for _, c := range []struct {
		name        string
		given, want Check
	}{
		{"nothing given", Check{Type: TCP, Port: 80},
			Check{Type: TCP, Port: 80, Interval: 2 * time.Second, FastInterval: 2 * time.Second, DownInterval: 2 * time.Second, Timeout: 2 * time.Second, Rise: 2, Fall: 3}},
		{"an interval stands for what is not given", Check{Type: ICMP, Interval: time.Minute, DownInterval: time.Hour},
			Check{Type: ICMP, Interval: time.Minute, FastInterval: time.Minute, DownInterval: time.Hour, Timeout: time.Minute, Rise: 2, Fall: 3}},
		{"a request", Check{Type: HTTP, Interval: 1, Rise: 1, Fall: 1, Jitter: 99},
			Check{Type: HTTP, Interval: 1e6, FastInterval: 1e6, DownInterval: 1e6, Timeout: 1e6, Rise: 1, Fall: 1, Jitter: 50,
				HTTP: Request{Method: "GET", Path: "/", Status: ok}}},
		{"what cannot be", Check{Type: ICMP, Interval: -1, Timeout: -1, Rise: -1, Fall: 0, Jitter: -1},
			Check{Type: ICMP, Interval: 2 * time.Second, FastInterval: 2 * time.Second, DownInterval: 2 * time.Second, Timeout: 2 * time.Second, Rise: 2, Fall: 3}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := c.given.Defaults()
			if got != c.want {
				t.Errorf("%+v\nbecomes %+v\nwant    %+v", c.given, got, c.want)
			}
			if again := got.Defaults(); again != got {
				t.Errorf("once more: %+v", again)
			}
		})
	}
}

func TestChecksAreEqualHoweverTheyWereWritten(t *testing.T) {
	write := func(ranges [][2]int, headers map[string]string) Check {
		c := Check{Type: HTTP, Source: netip.MustParseAddr("192.0.2.1"), HTTP: Request{Headers: HeaderLines(headers)}}
		for _, r := range ranges {
			c.HTTP.Status.Add(r[0], r[1])
		}
		return c
	}
	a := write([][2]int{{200, 299}, {401, 401}}, map[string]string{"A": "1", "B": "2", "C": "3"})
	b := write([][2]int{{401, 401}, {250, 299}, {200, 260}}, map[string]string{"C": "3", "A": "1", "B": "2"})
	if a != b {
		t.Errorf("%+v\n%+v", a, b)
	}
	if c := write([][2]int{{200, 298}, {401, 401}}, map[string]string{"A": "1", "B": "2", "C": "3"}); a == c {
		t.Error("a status less is not seen")
	}
}

func TestStatusSet(t *testing.T) {
	var s StatusSet
	s.Add(-5, 100)
	s.Add(163, 165)
	s.Add(599, 100000)
	s.Add(300, 299)
	for status := -10; status < 1200; status++ {
		want := status == 100 || status >= 163 && status <= 165 || status == 599
		if s.Has(status) != want {
			t.Errorf("%d: %v", status, !want)
		}
	}
}
