import java.io.IOException;
import java.net.ConnectException;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.StandardSocketOptions;

/** Does what its first argument says, with the port in its second; fails if someone is in the way. */
class Server {
    static final InetAddress HERE = InetAddress.getLoopbackAddress();
    static final boolean CURED = "1".equals(System.getenv("PLANTED_CURED"));

    public static void main(String[] arguments) throws IOException {
        int port = CURED ? 0 : Integer.parseInt(arguments[1]);
        switch (arguments[0]) {
            case "fixed-tcp" -> stream(port, false).close();
            case "fixed-udp" -> datagram(port, false).close();
            case "lost-tcp" -> stream(CURED ? 0 : drawnStream(), false).close();
            case "lost-udp" -> datagram(CURED ? 0 : drawnDatagram(), false).close();
            case "closed-tcp" -> closed();
            case "reuse-tcp" -> reuseStream();
            case "reuse-udp" -> reuseDatagram();
            default -> throw new IllegalArgumentException(arguments[0]);
        }
    }

    static ServerSocket stream(int port, boolean reuse) throws IOException {
        ServerSocket server = new ServerSocket();
        server.setSoTimeout(5000);
        server.setOption(StandardSocketOptions.SO_REUSEPORT, reuse);
        server.bind(new InetSocketAddress(HERE, port), 5);
        return server;
    }

    static DatagramSocket datagram(int port, boolean reuse) throws IOException {
        DatagramSocket socket = new DatagramSocket(null);
        socket.setSoTimeout(5000);
        socket.setReuseAddress(reuse);
        socket.bind(new InetSocketAddress(HERE, port));
        return socket;
    }

    static int drawnStream() throws IOException {
        try (ServerSocket server = stream(0, false)) {
            return server.getLocalPort();
        }
    }

    static int drawnDatagram() throws IOException {
        try (DatagramSocket socket = datagram(0, false)) {
            return socket.getLocalPort();
        }
    }

    static void closed() throws IOException {
        if (CURED) {
            return;
        }
        int port = drawnStream();
        try (Socket client = new Socket(HERE, port)) {
            throw new IllegalStateException("a closed port has answered");
        } catch (ConnectException expected) {
            return;
        }
    }

    static void reuseStream() throws IOException {
        try (ServerSocket server = stream(0, !CURED); Socket client = new Socket(HERE, server.getLocalPort())) {
            server.accept().close();
        }
    }

    static void reuseDatagram() throws IOException {
        try (DatagramSocket server = datagram(0, !CURED); DatagramSocket client = datagram(0, false)) {
            client.send(new DatagramPacket(new byte[5], 5, server.getLocalSocketAddress()));
            server.receive(new DatagramPacket(new byte[5], 5));
        }
    }
}
