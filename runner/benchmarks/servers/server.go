// Does what its first argument says, with the port in its second; fails if someone is in the way.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
)

const soReusePort = 15

var cured = os.Getenv("PLANTED_CURED") == "1"

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func config(option int) net.ListenConfig {
	return net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		if option == 0 || cured {
			return nil
		}
		return raw.Control(func(fd uintptr) { check(syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, option, 1)) })
	}}
}

func here(port string) string { return net.JoinHostPort("127.0.0.1", port) }

func stream(port string, option int) net.Listener {
	listening := config(option)
	listener, err := listening.Listen(context.Background(), "tcp4", here(port))
	check(err)
	check(listener.(*net.TCPListener).SetDeadline(time.Now().Add(5 * time.Second)))
	return listener
}

func datagram(port string, option int) net.PacketConn {
	listening := config(option)
	socket, err := listening.ListenPacket(context.Background(), "udp4", here(port))
	check(err)
	check(socket.SetDeadline(time.Now().Add(5 * time.Second)))
	return socket
}

func portOf(address net.Addr) string {
	_, port, err := net.SplitHostPort(address.String())
	check(err)
	return port
}

func drawnStream() string {
	listener := stream("0", 0)
	defer listener.Close()
	return portOf(listener.Addr())
}

func drawnDatagram() string {
	socket := datagram("0", 0)
	defer socket.Close()
	return portOf(socket.LocalAddr())
}

func unlessCured(port func() string) string {
	if cured {
		return "0"
	}
	return port()
}

func closed() {
	if cured {
		return
	}
	if client, err := net.DialTimeout("tcp4", here(drawnStream()), 5*time.Second); err == nil {
		client.Close()
		check(fmt.Errorf("a closed port has answered"))
	}
}

func reuseStream() {
	server := stream("0", soReusePort)
	client, err := net.Dial("tcp4", server.Addr().String())
	check(err)
	defer client.Close()
	_, err = server.Accept()
	check(err)
}

func reuseDatagram() {
	server, client := datagram("0", syscall.SO_REUSEADDR), datagram("0", 0)
	_, err := client.WriteTo([]byte("hello"), server.LocalAddr())
	check(err)
	_, _, err = server.ReadFrom(make([]byte, 9))
	check(err)
}

func main() {
	fixed := func() string { return os.Args[2] }
	switch os.Args[1] {
	case "fixed-tcp":
		stream(unlessCured(fixed), 0).Close()
	case "fixed-udp":
		datagram(unlessCured(fixed), 0).Close()
	case "lost-tcp":
		stream(unlessCured(drawnStream), 0).Close()
	case "lost-udp":
		datagram(unlessCured(drawnDatagram), 0).Close()
	case "closed-tcp":
		closed()
	case "reuse-tcp":
		reuseStream()
	case "reuse-udp":
		reuseDatagram()
	}
}
