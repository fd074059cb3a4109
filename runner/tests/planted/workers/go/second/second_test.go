package second

import (
	"net"
	"os"
	"testing"
	"time"
)

func TestIsRefused(t *testing.T) {
	place := os.Getenv("PARASUITE_COPY_DIR")
	for {
		if _, err := os.Stat(place + "/listening"); err == nil {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	if listener, err := net.Listen("tcp4", "127.0.0.1:"+os.Getenv("PLANTED_PORT")); err == nil {
		listener.Close()
		t.Fatal("nobody was listening")
	}
	os.WriteFile(place+"/refused", nil, 0o644)
}
