package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The running local stack, by the commands of ./dev. Its write-svc are stopped for the time of a
// run, and ours stand on their ports, because they reach PostgreSQL through our proxies.
type stack struct {
	root     string
	env      map[string]string
	programs map[string]string // those that are not where they are built
}

func (s *stack) dev(words ...string) (string, error) {
	command := exec.Command(filepath.Join(s.root, "dev"), words...)
	output, err := command.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("./dev %s: %w: %s", strings.Join(words, " "), err, output)
	}
	return string(output), nil
}

func openStack(root string) (*stack, error) {
	s := &stack{root: root}
	return s, s.refresh()
}

// refresh asks for the URLs and pids anew.
func (s *stack) refresh() error {
	command := exec.Command(filepath.Join(s.root, "dev"), "env")
	output, err := command.Output()
	if err != nil {
		return fmt.Errorf("./dev env: %w (is the stack up? ./dev up)", err)
	}
	s.env = map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(output))
	for lines.Scan() {
		text := strings.TrimPrefix(lines.Text(), "export ")
		if at := strings.Index(text, "="); at > 0 {
			s.env[text[:at]] = strings.Trim(text[at+1:], "'")
		}
	}
	return nil
}

func (s *stack) pid(name string) (int, error) {
	if err := s.refresh(); err != nil {
		return 0, err
	}
	variable := "PID_" + strings.ReplaceAll(strings.ToUpper(name), "-", "_")
	return strconv.Atoi(s.env[variable])
}

// -- SQL, by psql

// query gives the rows of a statement as JSON, into `into`.
func query(url, sql string, into interface{}) error {
	var errors bytes.Buffer
	command := exec.Command("psql", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d", url,
		"-c", fmt.Sprintf("SELECT coalesce(json_agg(t), '[]') FROM (%s) AS t", sql))
	command.Stderr = &errors
	output, err := command.Output()
	if err != nil {
		return fmt.Errorf("psql: %w: %s", err, errors.String())
	}
	return json.Unmarshal(output, into)
}

func execute(url, sql string) error {
	command := exec.Command("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", sql)
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("psql: %w: %s", err, output)
	}
	return nil
}

// -- our own services

// A service is a write-svc or read-svc that we run ourselves.
type service struct {
	name    string
	command []string
	env     []string
	log     string
	ops     string // URL
	process *exec.Cmd
}

func (s *service) start() error {
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	s.process = exec.Command(s.command[0], s.command[1:]...)
	s.process.Env = s.environment()
	s.process.Stdout, s.process.Stderr = log, log
	// It ends with us, also when we are killed.
	s.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	return s.process.Start()
}

// environment is ours without PORT, which would be taken for the service's.
func (s *service) environment() []string {
	var env []string
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "PORT=") {
			env = append(env, entry)
		}
	}
	return append(env, s.env...)
}

func (s *service) kill() {
	if s.process != nil && s.process.Process != nil {
		_ = s.process.Process.Kill()
		_ = s.process.Wait()
		s.process = nil
	}
}

func (s *service) waitReady(limit time.Duration) error {
	return eventually(limit, s.name+" is ready", func() bool {
		return isOK(s.ops + "/readyz")
	})
}

// output gives what the program prints with an argument.
func (s *service) output(word string) (string, error) {
	command := exec.Command(s.command[0], append(append([]string{}, s.command[1:]...), word)...)
	command.Env = s.environment()
	text, err := command.CombinedOutput()
	return string(text), err
}

// textOf gives the body of a page; "" when there is none.
func textOf(url string) string {
	client := http.Client{Timeout: 2 * time.Second}
	response, err := client.Get(url)
	if err != nil {
		return ""
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	return string(text)
}

func isOK(url string) bool {
	client := http.Client{Timeout: 2 * time.Second}
	response, err := client.Get(url)
	if err != nil {
		return false
	}
	response.Body.Close()
	return response.StatusCode == 200
}

func eventually(limit time.Duration, what string, is func() bool) error {
	for until := time.Now().Add(limit); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(until) {
			return fmt.Errorf("waited %s in vain until %s", limit, what)
		}
	}
	return nil
}

// -- processes of the stack

// processTree gives a process and all that descend from it.
func processTree(root int) []int {
	tree := []int{root}
	for i := 0; i < len(tree); i++ {
		lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", tree[i]))
		for _, list := range lists {
			text, _ := os.ReadFile(list)
			for _, word := range strings.Fields(string(text)) {
				if pid, err := strconv.Atoi(word); err == nil {
					tree = append(tree, pid)
				}
			}
		}
	}
	return tree
}

// freeze stops a process with its children, and gives the function that lets them go on.
func freeze(root int) (thaw func()) {
	frozen := map[int]bool{}
	for found := true; found; { // again: it may have made a child before it stopped
		found = false
		for _, pid := range processTree(root) {
			if !frozen[pid] {
				found, frozen[pid] = true, true
				_ = syscall.Kill(pid, syscall.SIGSTOP)
			}
		}
	}
	return func() {
		for pid := range frozen {
			_ = syscall.Kill(pid, syscall.SIGCONT)
		}
	}
}
