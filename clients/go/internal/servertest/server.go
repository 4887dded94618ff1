// Package servertest starts the real server for tests and examples.
package servertest

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

const settings = `
[retry]
base_delay = "10ms"
[tools]
grace = "1s"
[server]
drain = "1s"
`

// Main runs a package's tests with a server at $RUNWIRE_SERVER, and returns their exit code.
func Main(m *testing.M) int {
	folder, err := os.MkdirTemp("", "runwire-go-")
	if err == nil {
		defer func() { _ = os.RemoveAll(folder) }()
		var server *Server
		if server, err = Start(folder, settings); err == nil {
			defer server.Stop()
			err = os.Setenv("RUNWIRE_SERVER", server.Address)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// Server is a process of the server.
type Server struct {
	// Address is where it listens.
	Address string
	process *exec.Cmd
}

// Start starts a server with this configuration: the program $RUNWIRE_BIN, else that of `cargo build`.
func Start(folder, config string) (*Server, error) {
	binary := os.Getenv("RUNWIRE_BIN")
	if binary == "" {
		_, here, _, _ := runtime.Caller(0)
		binary = filepath.Join(filepath.Dir(here), "../../../../target/debug/runwire")
	}
	file := filepath.Join(folder, "runwire.toml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	process := exec.Command(binary, "serve", "--config", file,
		"--listen", "127.0.0.1:0", "--data-dir", filepath.Join(folder, "data"))
	log, err := process.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := process.Start(); err != nil {
		return nil, err
	}
	var heard strings.Builder
	for lines := bufio.NewScanner(log); lines.Scan(); {
		heard.WriteString(lines.Text() + "\n")
		if _, address, ok := strings.Cut(lines.Text(), "runwire listening on "); ok {
			go func() {
				for lines.Scan() { // Its log must not fill the pipe.
					continue
				}
			}()
			return &Server{address, process}, nil
		}
	}
	return nil, fmt.Errorf("the server did not start: %w\n%s", process.Wait(), heard.String())
}

// Stop ends it.
func (s *Server) Stop() {
	_ = s.process.Process.Signal(syscall.SIGTERM)
	_ = s.process.Wait()
}
