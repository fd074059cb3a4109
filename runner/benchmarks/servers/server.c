/* Does what its first argument says, with the port in its second; fails if someone is in the way. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static int cured;

static void check(int result, const char *what) {
    if (result < 0) {
        perror(what);
        exit(1);
    }
}

static struct sockaddr_in here(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static int bound(int type, int port, int option) {
    struct sockaddr_in address = here(port);
    struct timeval patience = {.tv_sec = 5};
    int sock = socket(AF_INET, type, 0), on = 1;
    setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (option && !cured)
        check(setsockopt(sock, SOL_SOCKET, option, &on, sizeof on), "setsockopt");
    check(bind(sock, (struct sockaddr *)&address, sizeof address), "bind");
    if (type == SOCK_STREAM)
        check(listen(sock, 5), "listen");
    return sock;
}

static int port_of(int sock) {
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    check(getsockname(sock, (struct sockaddr *)&address, &size), "getsockname");
    return ntohs(address.sin_port);
}

static int drawn(int type) {
    int sock = bound(type, 0, 0), port = port_of(sock);
    close(sock);
    return port;
}

static void closed_port(void) {
    struct sockaddr_in address = here(drawn(SOCK_STREAM));
    int client = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(client, (struct sockaddr *)&address, sizeof address) == 0 || errno != ECONNREFUSED) {
        fprintf(stderr, "error: a closed port has answered\n");
        exit(1);
    }
}

static void reuse_stream(void) {
    int server = bound(SOCK_STREAM, 0, SO_REUSEPORT), client = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = here(port_of(server));
    check(connect(client, (struct sockaddr *)&address, sizeof address), "connect");
    check(accept(server, NULL, NULL), "accept");
}

static void reuse_datagram(void) {
    char word[9];
    int server = bound(SOCK_DGRAM, 0, SO_REUSEADDR), client = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in address = here(port_of(server));
    check(sendto(client, "hello", 5, 0, (struct sockaddr *)&address, sizeof address), "sendto");
    check(recv(server, word, sizeof word, 0), "recv");
}

int main(int argc, char **argv) {
    const char *mode = argv[argc - 2];
    int port = atoi(argv[argc - 1]);
    cured = getenv("PLANTED_CURED") && !strcmp(getenv("PLANTED_CURED"), "1");
    if (!strcmp(mode, "fixed-tcp"))
        bound(SOCK_STREAM, cured ? 0 : port, 0);
    else if (!strcmp(mode, "fixed-udp"))
        bound(SOCK_DGRAM, cured ? 0 : port, 0);
    else if (!strcmp(mode, "lost-tcp"))
        bound(SOCK_STREAM, cured ? 0 : drawn(SOCK_STREAM), 0);
    else if (!strcmp(mode, "lost-udp"))
        bound(SOCK_DGRAM, cured ? 0 : drawn(SOCK_DGRAM), 0);
    else if (!strcmp(mode, "closed-tcp") && !cured)
        closed_port();
    else if (!strcmp(mode, "reuse-tcp"))
        reuse_stream();
    else if (!strcmp(mode, "reuse-udp"))
        reuse_datagram();
    return 0;
}
