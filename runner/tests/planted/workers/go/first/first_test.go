package first

import (
	"net"
	"os"
	"testing"
	"time"
)

// One package listens on a port until the other's listener was refused.
func TestListens(t *testing.T) {
	listener, err := net.Listen("tcp4", "127.0.0.1:"+os.Getenv("PLANTED_PORT"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	place := os.Getenv("PARASUITE_COPY_DIR")
	os.WriteFile(place+"/listening", nil, 0o644)
	for {
		if _, err := os.Stat(place + "/refused"); err == nil {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}
