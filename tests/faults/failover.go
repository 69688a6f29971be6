package main

import (
	"fmt"
	"math/rand"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A pair is a primary and a standby of PostgreSQL, in a folder of their own. A failover kills the
// primary and promotes the standby; then the old primary is made anew, as a standby of the new one.
// Our services reach both by a URL with two hosts, in place of the stack's.
type pair struct {
	localStack
	folder string
	// isSync: the primary acknowledges nothing without the standby. Else a failover loses the last
	// commits.
	isSync  bool
	wal     *pipe // of a standby that is not synchronous, to its primary
	nodes   [2]*node
	primary int
	readers []*service
}

// A node is one of the two servers.
type node struct {
	name, folder, url string
	port              int
	process           *exec.Cmd
}

func postgresBin() (string, error) {
	folders, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if len(folders) == 0 {
		return "", fmt.Errorf("there is no /usr/lib/postgresql/*/bin")
	}
	sort.Strings(folders)
	return folders[len(folders)-1], nil
}

// owner is the user who runs PostgreSQL, which does not run as root; nil: the user who we are.
func owner() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	who, err := user.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, _ := strconv.Atoi(who.Uid)
	gid, _ := strconv.Atoi(who.Gid)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

func (p *pair) postgresCommand(program string, words ...string) (*exec.Cmd, error) {
	bin, err := postgresBin()
	if err != nil {
		return nil, err
	}
	credential, err := owner()
	if err != nil {
		return nil, err
	}
	command := exec.Command(filepath.Join(bin, program), words...)
	command.Dir = p.folder
	command.SysProcAttr = &syscall.SysProcAttr{Credential: credential, Setpgid: true,
		Pdeathsig: syscall.SIGKILL}
	return command, nil
}

func (p *pair) runPostgres(program string, words ...string) error {
	command, err := p.postgresCommand(program, words...)
	if err != nil {
		return err
	}
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", program, err, output)
	}
	return nil
}

func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

const pairUser, pairPassword = "faststock", "of-a-test"

func newPair(r *run, isSync bool) (*pair, error) {
	p := &pair{localStack: localStack{run: r, stack: r.stack}, isSync: isSync}
	err := p.build()
	if err == nil {
		return p, nil
	}
	_ = p.restore()
	return nil, err
}

func (p *pair) build() error {
	// not below the repository, because the user postgres may have no way in there
	folder, err := os.MkdirTemp("", "faststock-faults-")
	if err != nil {
		return err
	}
	p.folder = folder
	if credential, err := owner(); err != nil {
		return err
	} else if credential != nil {
		if err := os.Chown(folder, int(credential.Uid), int(credential.Gid)); err != nil {
			return err
		}
	}
	for i, name := range []string{"a", "b"} {
		port, err := freePort()
		if err != nil {
			return err
		}
		p.nodes[i] = &node{name: name, folder: filepath.Join(folder, name), port: port,
			url: fmt.Sprintf("postgresql://%s:%s@127.0.0.1:%d/faststock", pairUser, pairPassword, port)}
	}
	if err := p.makePrimary(p.nodes[0]); err != nil {
		return err
	}
	if err := p.makeStandby(p.nodes[1], p.nodes[0]); err != nil {
		return err
	}
	return p.startServices()
}

func (p *pair) startNode(n *node) error {
	log, err := os.OpenFile(filepath.Join(p.stack.folder(), "postgres-"+n.name+".log"),
		os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	command, err := p.postgresCommand("postgres", "-D", n.folder,
		"-c", fmt.Sprintf("port=%d", n.port), "-c", "listen_addresses=127.0.0.1",
		"-c", "unix_socket_directories=", "-c", "cluster_name="+n.name,
		"-c", "max_connections=200", "-c", "shared_buffers=64MB", "-c", "wal_keep_size=256MB",
		"-c", "wal_receiver_status_interval=1", "-c", "timezone=UTC")
	if err != nil {
		return err
	}
	command.Stdout, command.Stderr = log, log
	n.process = command
	if err := command.Start(); err != nil {
		return err
	}
	return eventually(30*time.Second, "PostgreSQL "+n.name+" answers", func() bool {
		return execute(n.admin(), "SELECT 1") == nil
	})
}

// admin is the URL of the database that is there before ours.
func (n *node) admin() string { return strings.TrimSuffix(n.url, "faststock") + "postgres" }

func (n *node) kill() {
	if n == nil || n.process == nil || n.process.Process == nil {
		return
	}
	for _, pid := range processTree(n.process.Process.Pid) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	_ = n.process.Wait()
	n.process = nil
}

func (p *pair) makePrimary(n *node) error {
	password := filepath.Join(p.folder, "password")
	if err := os.WriteFile(password, []byte(pairPassword), 0o644); err != nil {
		return err
	}
	err := p.runPostgres("initdb", "-D", n.folder, "--username="+pairUser, "--pwfile="+password,
		"--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8")
	if err != nil {
		return err
	}
	if err := p.startNode(n); err != nil {
		return err
	}
	if err := execute(n.admin(), "CREATE DATABASE faststock"); err != nil {
		return err
	}
	migrate := exec.Command(filepath.Join(p.stack.root, "sql", "migrate"))
	migrate.Env = append(os.Environ(), "DIRECT_URL="+n.url)
	if output, err := migrate.CombinedOutput(); err != nil {
		return fmt.Errorf("migrate: %w: %s", err, output)
	}
	return nil
}

// makeStandby makes a node anew from the primary. From the moment on in which a synchronous one
// follows, the primary acknowledges nothing without it.
func (p *pair) makeStandby(n, primary *node) error {
	if err := os.RemoveAll(n.folder); err != nil {
		return err
	}
	from := primary.url
	if !p.isSync {
		var err error
		if p.wal, err = newPipe(addressOf(from)); err != nil {
			return err
		}
		from = withAddress(from, p.wal.address())
	}
	if err := p.runPostgres("pg_basebackup", "-D", n.folder, "-d", from, "-R", "-X", "stream",
		"-c", "fast", "--no-sync"); err != nil {
		return err
	}
	if err := p.startNode(n); err != nil || !p.isSync {
		return err
	}
	if err := execute(primary.url,
		fmt.Sprintf("ALTER SYSTEM SET synchronous_standby_names = '%s'", n.name)); err != nil {
		return err
	}
	if err := execute(primary.url, "SELECT pg_reload_conf()"); err != nil {
		return err
	}
	return eventually(30*time.Second, "the standby is synchronous", func() bool {
		var rows []struct{ State string }
		err := query(primary.url,
			"SELECT sync_state AS state FROM pg_stat_replication WHERE sync_state = 'sync'", &rows)
		return err == nil && len(rows) == 1
	})
}

func (p *pair) startServices() error {
	if _, err := p.stack.dev("stop", "write-1", "write-2", "read-1", "read-2"); err != nil {
		return err
	}
	var through, direct []string
	for i, n := range p.nodes {
		proxy, err := newProxy(addressOf(n.url), p.run.seed+int64(10+i))
		if err != nil {
			return err
		}
		p.proxies = append(p.proxies, proxy)
		through, direct = append(through, proxy.address()), append(direct, addressOf(n.url))
	}
	url := p.nodes[0].url
	env := []string{"REDIS_URL=" + p.stack.env["REDIS_URL"],
		"DIRECT_URL=" + withAddress(url, strings.Join(direct, ",")),
		"FASTSTOCK_REDIS_KEY_PREFIX=" + p.run.name}
	for i := 1; i <= 2; i++ {
		p.writers = append(p.writers, p.stack.newService(fmt.Sprintf("write-%d", i), append(env,
			"DATABASE_URL="+withAddress(url, strings.Join(through, ",")))...))
		p.readers = append(p.readers, p.stack.newService(fmt.Sprintf("read-%d", i), append(env,
			"DATABASE_URL="+withAddress(url, strings.Join(direct, ","))+
				"?target_session_attrs=read-write")...))
	}
	for _, s := range append(append([]*service{}, p.writers...), p.readers...) {
		if err := s.start(); err != nil {
			return err
		}
		p.stack.unmark(s.name)
	}
	return p.heal()
}

func (p *pair) sql() string { return p.nodes[p.primary].url }

func (p *pair) faults() []fault {
	list := []fault{
		{"failover", 6, !p.isSync, p.failover},
		{"freeze the standby", 2, false, func(random *rand.Rand) error {
			return p.freezeNode(random, p.nodes[1-p.primary])
		}},
		{"freeze the primary", 1, false, func(random *rand.Rand) error {
			return p.freezeNode(random, p.nodes[p.primary])
		}},
		{"kill -9 write-svc", 2, false, p.killWriter},
	}
	for what := cutBefore; what < cuts; what++ {
		what := what
		list = append(list, fault{"cut: " + cutNames[what], 1, false, func(random *rand.Rand) error {
			return cutFor(random, p.proxies, what)
		}})
	}
	return list
}

func (p *pair) freezeNode(random *rand.Rand, n *node) error {
	thaw := freeze(n.process.Process.Pid)
	time.Sleep(seconds(random, 0.3, 3))
	thaw()
	return nil
}

// failover: the primary is gone in an instant, and the standby takes its place.
func (p *pair) failover(random *rand.Rand) error {
	old, next := p.nodes[p.primary], p.nodes[1-p.primary]
	if random.Intn(2) == 0 { // in the middle of commits whose answers do not come back
		armAll(p.proxies, cutAnswer, 100, 50)
	}
	if !p.isSync {
		p.wal.set(stuck, 0) // what is committed from now on is lost
	}
	time.Sleep(seconds(random, 0.1, 0.5))
	old.kill()
	killed := p.run.now()
	armAll(p.proxies, noCut, 0, 0)
	if !p.isSync {
		p.wal.close()
	}
	time.Sleep(seconds(random, 0, 1))
	if err := execute(next.url, "SELECT pg_promote(wait => true, wait_seconds => 30)"); err != nil {
		return err
	}
	if !p.isSync {
		p.run.failovers = append(p.run.failovers, Failover{killed, p.run.now()})
	}
	p.primary = 1 - p.primary
	time.Sleep(seconds(random, 0.5, 2)) // it is alone for a while
	return p.makeStandby(old, next)
}

func (p *pair) heal() error {
	armAll(p.proxies, noCut, 0, 0)
	if err := waitWhole(p.stack, p.writers); err != nil {
		return err
	}
	return nil
}

func (p *pair) restore() error {
	for _, s := range append(append([]*service{}, p.writers...), p.readers...) {
		s.kill()
	}
	for _, proxy := range p.proxies {
		proxy.close()
	}
	if p.wal != nil {
		p.wal.close()
	}
	for _, n := range p.nodes {
		n.kill()
	}
	_ = os.RemoveAll(p.folder)
	_, err := p.stack.dev("start", "read-1", "read-2", "write-1", "write-2")
	return err
}
