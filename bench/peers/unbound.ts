/** The first lines of every unbound here: two threads on one port, nothing outside its directory. */
export function unboundServer(port: number, directory: string): string {
  return `server:
  port: ${port}
  interface: 127.0.0.1
  num-threads: 2
  so-reuseport: yes
  chroot: ""
  directory: "${directory}"
  username: ""
  pidfile: "${directory}/unbound.pid"
  use-syslog: no
  do-daemonize: no
`
}
