package intent

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/semver"

	"reconciler/internal/diff"
	"reconciler/internal/resource"
)

// startGrace is how long a process may take to appear, beside its own time to
// get ready.
const startGrace = 10 * time.Second

// UpgradeFacts are what upgrades are decided by.
type UpgradeFacts struct {
	Now Moment
	// Started is when this process did.
	Started Instant
	// Once says that a command decides that ends then: it has no version of its
	// own to hand over to.
	Once bool
	// Preview takes a version that is wanted for one that is here: what would be
	// done with it is to be shown.
	Preview bool
	// Settled says that nothing else is under way: no other change, and no apply
	// without a verdict.
	Settled bool
	// Loses is what stops to flow while nobody writes to the dataplanes.
	Loses []string
	// Back are the upgrades that a person wants back at their former version.
	Back map[string]bool
	// Again says that failures are forgotten.
	Again bool
}

// Upgraded is a decision.
type Upgraded struct {
	Want    *resource.Set
	Notes   []diff.Note
	Reasons map[resource.Key]string // why something is to change that YAML did not ask for
	Next    Instant                 // when the decision may be another one by itself
	Stalled bool                    // something waits until Settled
}

// Upgrade decides on the next step of each upgrade in want, from its journal in
// have: which version is in use, what runs it, and what is written down first.
//
// A version is tried: it comes into use, shows itself, and is kept for its time
// of soaking. One that fails is left for the former one and is not tried again
// while YAML names it.
func Upgrade(want, have *resource.Set, f UpgradeFacts) Upgraded {
	out := Upgraded{Want: want, Reasons: map[resource.Key]string{}, Next: Never}
	want.Each(func(_ resource.Key, o resource.Object) bool {
		if c, ok := o.Resource.(resource.Current); ok {
			if out.Want == want {
				out.Want = want.Clone()
			}
			u := upgrading{UpgradeFacts: f, have: have, out: &out, object: o, want: c}
			u.read()
			u.decide()
		}
		return true
	})
	return out
}

// upgrading is the decision on one upgrade.
type upgrading struct {
	UpgradeFacts
	have   *resource.Set
	out    *Upgraded
	object resource.Object
	want   resource.Current // Dir is what YAML names
	dir    string           // what is in use
	was    resource.Journal
	self   resource.Self
}

// read finds what is.
func (u *upgrading) read() {
	if c, ok := u.have.Get(u.want.Key()); ok {
		u.dir = c.Resource.(resource.Current).Dir
	}
	u.was = resource.Journal{Upgrade: u.want.Upgrade, Root: u.want.Root}
	if j, ok := u.have.Get(u.was.Key()); ok {
		u.was = j.Resource.(resource.Journal)
	}
	if s, ok := u.have.Get(resource.SelfKey(u.want.Upgrade)); ok {
		u.self = s.Resource.(resource.Self)
	}
}

func (u *upgrading) decide() {
	if u.Once && u.want.Mode == resource.StartHandover {
		u.out.Want.Remove(resource.SelfKey(u.want.Upgrade))
		if u.dir != u.want.Dir {
			u.tell(diff.Waiting, "only a reconciler that runs can upgrade itself")
		}
		u.use(u.dir, true)
		u.write(u.was)
		u.keep(u.want.Keep, u.dir, u.was.From, u.was.To, u.was.Previous, u.want.Dir)
		return
	}
	if u.Again {
		u.was.Bad = nil
	}
	switch u.was.State {
	case resource.JournalIdle:
		u.rest()
	case resource.JournalTrying:
		u.try()
	case resource.JournalRollback:
		u.goBack()
	}
}

// runs is the version that is at work, which is the one in use unless the
// process is still another.
func (u *upgrading) runs() string {
	if u.want.Mode == resource.StartHandover && !u.Preview {
		return u.self.Dir
	}
	return u.dir
}

// rest begins to try what YAML names, if nothing speaks against it.
func (u *upgrading) rest() {
	to := u.want.Dir
	if u.Back[u.want.Upgrade] && u.was.Previous != "" && u.whole(u.was.Previous) {
		u.fail(u.dir, u.was.Previous, "rolled back by a person")
		return
	}
	if u.dir == to && u.runs() == to {
		u.write(u.was)
		u.use(to, false)
		u.keep(u.want.Keep, to, u.was.Previous)
		return
	}
	if n := u.against(to); n.Code != "" {
		u.hold(n)
		return
	}
	u.write(u.since(resource.Journal{State: resource.JournalTrying, From: u.runs(), To: to}))
	u.because("upgrade " + cmp.Or(resource.ReleaseVersion(u.runs()), "none") + " -> " + u.want.Version)
	u.use(to, true)
	u.keep(u.want.Keep, to, u.dir, u.runs(), u.was.Previous)
	text := "version " + u.want.Version + " is being tried"
	if u.Preview {
		text = fmt.Sprintf("version %s is fetched first; it has to be ready within %s, and is kept if it stays so for %s", u.want.Version, u.want.Ready.Timeout, u.want.Soak)
	}
	u.tell(diff.Waiting, text)
}

// against is what speaks against a version now; no code where nothing does.
func (u *upgrading) against(to string) diff.Note {
	version := resource.ReleaseVersion(to)
	switch {
	case u.was.Fault(to) != "":
		return u.note(diff.Unfit, fmt.Sprintf("version %s failed: %s; it is tried again when YAML names another, or after retry", version, u.was.Fault(to)))
	case !u.whole(to):
		return u.note(diff.NotReady, "version "+version+" is not here yet")
	case isDowngrade(u.runs(), to) && !u.want.AllowDowngrade:
		return u.note(diff.Held, fmt.Sprintf("%s is older than %s; allow-downgrade: true lets it", version, resource.ReleaseVersion(u.runs())))
	case u.want.Mode == resource.StartHandover && len(u.Loses) > 0 && !u.want.AllowDisruption:
		return u.note(diff.Held, strings.Join(u.Loses, ", ")+" would stop meanwhile; allow-disruption: true lets it")
	case !u.Settled:
		return u.note(diff.Waiting, "waits until all else is done and confirmed")
	}
	return diff.Note{}
}

// hold leaves what is in use.
func (u *upgrading) hold(n diff.Note) {
	u.out.Notes = append(u.out.Notes, n)
	u.write(u.was)
	u.use(u.dir, false)
	u.keep(u.want.Keep, u.dir, u.runs(), u.was.Previous, u.want.Dir)
	u.out.Stalled = u.out.Stalled || n.Code == diff.Waiting
}

// try looks how the version that is tried does.
func (u *upgrading) try() {
	j := u.was
	if j.Boot != u.Now.Boot || Instant(j.Since) < u.Started {
		j = u.since(j)
		j.Attempt++
	}
	ready, fault := u.evidence(j)
	switch {
	case u.want.Dir != j.To:
		u.abandon(j, "YAML names another version now")
		return
	case u.Back[u.want.Upgrade]:
		fault = "rolled back by a person"
	case j.Attempt > resource.MaxReleaseStarts:
		fault = fmt.Sprintf("it has not shown itself in %d starts", resource.MaxReleaseStarts)
	case !u.whole(j.To):
		fault = "its files are missing or damaged"
	}
	if fault != "" {
		u.fail(j.To, j.From, fault)
		return
	}
	over := ready.Add(u.want.Soak)
	if ready != Never && over <= u.Now.At {
		u.write(resource.Journal{Previous: cmp.Or(otherThan(j.To, j.From), otherThan(j.To, u.was.Previous))})
		u.because("version " + u.want.Version + " has shown itself")
		u.use(j.To, false)
		u.keep(u.want.Keep, j.To, j.From, u.was.Previous)
		return
	}
	text := "version " + u.want.Version + " has yet to show that it is ready"
	if ready != Never {
		text = fmt.Sprintf("version %s is ready, and kept if it stays so for %s", u.want.Version, u.want.Soak)
		u.out.Next = Earliest(u.out.Next, over)
	}
	u.tell(diff.Waiting, text)
	u.write(j)
	u.because("version " + u.want.Version + " is being tried")
	u.use(j.To, true)
	u.keep(u.want.Keep, j.To, j.From, u.was.Previous)
}

func otherThan(one, dir string) string {
	if dir == one {
		return ""
	}
	return dir
}

// fail leaves a version for another one, and remembers it.
func (u *upgrading) fail(bad, to, why string) {
	j := resource.Journal{State: resource.JournalRollback, From: to, To: bad, Bad: slices.Clone(u.was.Bad)}
	j.Bad = slices.DeleteFunc(j.Bad, func(b resource.BadRelease) bool { return b.Dir == bad })
	j.Bad = append(j.Bad, resource.BadRelease{Dir: bad, Reason: why, At: u.Now.Wall})
	j.Bad = j.Bad[max(0, len(j.Bad)-resource.MaxBad):]
	u.was.Bad = j.Bad
	u.leave(u.since(j), why)
}

// abandon leaves a version that has done nothing wrong.
func (u *upgrading) abandon(j resource.Journal, why string) {
	j.State, j.Attempt = resource.JournalRollback, 0
	u.leave(u.since(j), why)
}

func (u *upgrading) leave(j resource.Journal, why string) {
	u.write(j)
	u.because("back to " + cmp.Or(resource.ReleaseVersion(j.From), "none") + ": " + why)
	u.use(j.From, true)
	u.keep(u.want.Keep, j.To, j.From, u.was.Previous)
	u.tell(diff.Waiting, "goes back to "+cmp.Or(resource.ReleaseVersion(j.From), "no version")+": "+why)
}

// goBack goes on until the former version is at work again.
func (u *upgrading) goBack() {
	j := u.was
	if u.dir == j.From && u.restored(j) {
		u.write(resource.Journal{Previous: otherThan(j.From, j.Previous)})
		u.because("the former version is at work again")
		u.use(j.From, false)
		u.keep(u.want.Keep, j.From, j.Previous)
		u.out.Next = Earliest(u.out.Next, u.Now.At)
		return
	}
	if j.From != "" && !u.whole(j.From) && !strings.HasPrefix(j.From, "..") {
		u.tell(diff.Unfit, "cannot go back to "+resource.ReleaseVersion(j.From)+", which is missing or damaged")
	}
	why := cmp.Or(j.Fault(j.To), "YAML names another version now")
	u.leave(j, why)
}

// since dates a journal.
func (u *upgrading) since(j resource.Journal) resource.Journal {
	j.Since, j.Boot = time.Duration(u.Now.At), u.Now.Boot
	return j
}

// write wants a journal, with what stays in it. One that says nothing is not
// there.
func (u *upgrading) write(j resource.Journal) {
	j.Upgrade, j.Root, j.Bad = u.want.Upgrade, u.want.Root, u.was.Bad
	if j.State != resource.JournalIdle {
		j.Previous = u.was.Previous
	}
	if !u.have.Has(j.Key()) && j.Equal(resource.Journal{Upgrade: j.Upgrade, Root: j.Root}) {
		return
	}
	u.put(j)
}

// whole reports that a version is there as it was verified. One that somebody
// put beside the versions nobody can tell of.
func (u *upgrading) whole(dir string) bool {
	if strings.HasPrefix(dir, "..") {
		return true
	}
	key := resource.ReleaseKey(u.want.Upgrade, dir)
	if u.Preview && u.out.Want.Has(key) {
		return true
	}
	o, ok := u.have.Get(key)
	return ok && len(o.Resource.(resource.Release).Damage) == 0
}

// keep lets versions stay, and the newest ones up to a number.
func (u *upgrading) keep(most int, dirs ...string) {
	var others []resource.Object
	u.have.Each(func(k resource.Key, o resource.Object) bool {
		r, ok := o.Resource.(resource.Release)
		switch {
		case !ok || r.Upgrade != u.want.Upgrade || o.Owner != resource.Ours || u.out.Want.Has(k):
		case slices.Contains(dirs, r.Dir):
			u.out.Want.Put(kept(o))
		case u.was.Fault(r.Dir) == "":
			others = append(others, o)
		}
		return true
	})
	slices.SortStableFunc(others, func(a, b resource.Object) int {
		return compareVersions(b.Resource.(resource.Release).Version, a.Resource.(resource.Release).Version)
	})
	for _, o := range others[:max(0, min(len(others), most-u.held()))] {
		u.out.Want.Put(kept(o))
	}
}

// held counts the versions that stay already.
func (u *upgrading) held() int {
	n := 0
	u.out.Want.Each(func(_ resource.Key, o resource.Object) bool {
		if r, ok := o.Resource.(resource.Release); ok && r.Upgrade == u.want.Upgrade {
			n++
		}
		return true
	})
	return n
}

func (u *upgrading) put(r resource.Resource) {
	o := u.object
	o.Resource = r
	u.out.Want.Put(o)
}

// because gives what the upgrade changes its reason.
func (u *upgrading) because(text string) {
	for _, k := range []resource.Key{u.want.Key(), u.was.Key(), resource.SelfKey(u.want.Upgrade)} {
		u.out.Reasons[k] = text
	}
	for _, set := range []*resource.Set{u.out.Want, u.have} {
		for k, d := range daemonsOf(set, u.want.Upgrade) {
			u.out.Reasons[k] = cmp.Or(u.out.Reasons[k], text)
			d.Release = u.want.Dir
			u.out.Reasons[d.Key()] = text
		}
	}
}

// tell says something of the version in use.
func (u *upgrading) tell(code diff.NoteCode, text string) {
	u.out.Notes = append(u.out.Notes, u.note(code, text))
}

func (u *upgrading) note(code diff.NoteCode, text string) diff.Note {
	return diff.Note{Code: code, Key: u.want.Key(), Text: text, Origin: u.object.Origin}
}

// isDowngrade compares versions where they are semantic ones.
func isDowngrade(from, to string) bool {
	return compareVersions(resource.ReleaseVersion(to), resource.ReleaseVersion(from)) < 0
}

// compareVersions is 0 where one of them is no semantic version.
func compareVersions(a, b string) int {
	a, b = "v"+strings.TrimPrefix(a, "v"), "v"+strings.TrimPrefix(b, "v")
	if !semver.IsValid(a) || !semver.IsValid(b) {
		return 0
	}
	return semver.Compare(a, b)
}
