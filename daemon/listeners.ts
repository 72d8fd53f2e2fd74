import {
  createServer as createHttpServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http'
import { createSecureServer, type Http2Session, type SecureServerOptions } from 'node:http2'
import { createServer as createHttpsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import type { SecureContextOptions, SecureVersion, Server as TlsServer } from 'node:tls'
import { SECOND } from '../base/clock.ts'
import { Connections } from '../base/connections.ts'
import { HearthError, reasonOf } from '../base/errors.ts'
import type { Listen } from './config.ts'

export type ListenerErrorCode = 'PORT_TAKEN' | 'PORT_FORBIDDEN' | 'ADDRESS_ABSENT' | 'LISTEN_FAILED'

export class ListenerError extends HearthError<ListenerErrorCode> {}

/** A service on one port of several addresses. */
export interface Listener {
  readonly port: number
  /** Refuses new connections and lets requests under way finish, for a second at most. */
  close(): Promise<void>
}

/** Connections a listener holds at most on all of its addresses: a home has dozens. */
const CONNECTIONS = { total: 512, perClient: 128 }

/** Requests under way on one HTTP/2 connection. */
const MAX_STREAMS = 64

/** Streams that a client may give up at once, and a second from then on: more is an attack (CVE-2023-44487). */
const STREAM_RESETS = { streamResetBurst: 200, streamResetRate: 33 }

/** Megabytes for one HTTP/2 connection, all that its requests hold in memory. */
const SESSION_MEMORY = 2

/** Slow senders are cut off: headers within 10 s, the whole request within 30 s. */
const HEADERS_TIMEOUT = 10 * SECOND
const REQUEST_TIMEOUT = 30 * SECOND
const CHECKING_INTERVAL = 2 * SECOND
const HANDSHAKE_TIMEOUT = 10 * SECOND
const IDLE_TIMEOUT = 60 * SECOND

/** How long a request under way may go on when the gateway stops. */
const CLOSING_GRACE = SECOND

/** Tries for a port that is free on every address, where any will do. */
const FREE_PORT_TRIES = 20

/** What a TLS listener shows: certificate and key can be exchanged while it runs. */
export interface TlsIdentity {
  context: () => SecureContextOptions
  /** The OCSP answer to staple for the current certificate, DER. */
  staple: () => Promise<Buffer | null>
  minVersion: SecureVersion
}

/** A TLS listener; `renew` makes it take its identity anew, for connections from then on. */
export interface TlsListener extends Listener {
  renew(): void
}

export async function listenHttp(name: string, at: Listen, handler: RequestListener): Promise<Listener> {
  return listen(name, at, () =>
    limited(createHttpServer({ connectionsCheckingInterval: CHECKING_INTERVAL }, handler)),
  )
}

/** HTTP/2 and 1.1 over TLS. */
export async function listenHttps(
  name: string,
  at: Listen,
  identity: TlsIdentity,
  handler: RequestListener,
): Promise<TlsListener> {
  return listenTls(name, at, identity, () => {
    const server = createSecureServer(
      {
        ...identity.context(),
        minVersion: identity.minVersion,
        allowHTTP1: true,
        handshakeTimeout: HANDSHAKE_TIMEOUT,
        settings: { maxConcurrentStreams: MAX_STREAMS },
        ...STREAM_RESETS,
        maxSessionMemory: SESSION_MEMORY,
        connectionsCheckingInterval: CHECKING_INTERVAL,
      } as SecureServerOptions,
      handler as unknown as Parameters<typeof createSecureServer>[1],
    )
    server.setTimeout(IDLE_TIMEOUT)
    return Object.assign(server, { headersTimeout: HEADERS_TIMEOUT, requestTimeout: REQUEST_TIMEOUT })
  })
}

/**
 * HTTP/1.1 over TLS that asks for a client certificate and lets connections without a valid one through.
 *
 * Whether a certificate counts is for the handler to prove: see enrollment/authorize.ts.
 */
export async function listenMutualTls(
  name: string,
  at: Listen,
  identity: TlsIdentity,
  handler: RequestListener,
): Promise<TlsListener> {
  return listenTls(name, at, identity, () =>
    limited(
      createHttpsServer(
        {
          ...identity.context(),
          minVersion: identity.minVersion,
          requestCert: true,
          rejectUnauthorized: false,
          connectionsCheckingInterval: CHECKING_INTERVAL,
          handshakeTimeout: HANDSHAKE_TIMEOUT,
        },
        handler,
      ),
    ),
  )
}

async function listenTls(
  name: string,
  at: Listen,
  identity: TlsIdentity,
  create: () => TlsServer,
): Promise<TlsListener> {
  const servers: TlsServer[] = []
  const listener = await listen(name, at, () => {
    const server = create()
    server.on('OCSPRequest', (_certificate, _issuer, callback) => {
      identity.staple().then(
        (staple) => callback(null, staple ?? Buffer.alloc(0)),
        () => callback(null, Buffer.alloc(0)),
      )
    })
    // A failed handshake is the client's affair; of one that took too long, Node does not close the socket.
    server.on('tlsClientError', (_error, socket) => socket.destroy())
    servers.push(server)
    return server
  })
  return {
    port: listener.port,
    close: () => listener.close(),
    renew: () => {
      // What is not said again is forgotten, the oldest version of TLS that is taken included.
      const context = { ...identity.context(), minVersion: identity.minVersion }
      for (const server of servers) server.setSecureContext(context)
    },
  }
}

function limited<T extends Server>(server: T): T {
  server.headersTimeout = HEADERS_TIMEOUT
  server.requestTimeout = REQUEST_TIMEOUT
  server.keepAliveTimeout = IDLE_TIMEOUT
  server.maxRequestsPerSocket = 0
  return server
}

/** One server per address, all on the same port; port 0 becomes one that is free on each. */
async function listen(name: string, at: Listen, create: () => Server | TlsServer): Promise<Listener> {
  for (let tries = 1; ; tries++) {
    try {
      return await listenOnce(name, at, create)
    } catch (error) {
      const again = at.port === 0 && tries < FREE_PORT_TRIES
      if (!(again && error instanceof ListenerError && error.code === 'PORT_TAKEN')) throw error
    }
  }
}

async function listenOnce(name: string, at: Listen, create: () => Server | TlsServer): Promise<Listener> {
  const servers: (Server | TlsServer)[] = []
  const connections = new Connections(CONNECTIONS)
  const sockets = new Set<Socket>()
  const sessions = new Set<Http2Session>()
  let port = at.port
  const close = async () => {
    const closed = servers.map(
      (server) =>
        new Promise<void>((resolve) => (server.listening ? server.close(() => resolve()) : resolve())),
    )
    for (const server of servers) if ('closeIdleConnections' in server) server.closeIdleConnections()
    for (const session of sessions) session.close()
    const late = setTimeout(() => {
      for (const socket of sockets) socket.destroy()
    }, CLOSING_GRACE)
    await Promise.all(closed)
    clearTimeout(late)
  }
  for (const address of at.addresses) {
    const server = create()
    server.on('connection', (socket) => {
      if (connections.admit(socket) === null) return
      sockets.add(socket)
      socket.on('close', () => sockets.delete(socket))
    })
    server.prependListener('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
      const place = connections.find(socket)
      place?.begin()
      response.on('close', () => place?.end())
    })
    server.on('session', (session: Http2Session) => {
      sessions.add(session)
      session.on('close', () => sessions.delete(session))
    })
    servers.push(server)
    try {
      port = await bind(server, address, port)
    } catch (error) {
      await close()
      throw listenError(name, address, port, error)
    }
  }
  return { port, close }
}

function bind(server: Server | TlsServer, address: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host: address, port, ipv6Only: address.includes(':') }, () => {
      server.off('error', reject)
      resolve((server.address() as AddressInfo).port)
    })
  })
}

function listenError(name: string, address: string, port: number, error: unknown): ListenerError {
  const where = `${address} port ${port} (listen.${name})`
  switch ((error as NodeJS.ErrnoException).code) {
    case 'EADDRINUSE':
      return new ListenerError(
        'PORT_TAKEN',
        `another program has ${where}. Stop it ("ss -ltnp" shows which), or set another port under listen.${name}`,
      )
    case 'EACCES':
      return new ListenerError(
        'PORT_FORBIDDEN',
        `this user may not listen on ${where}. Use a port above 1023, or give the service CAP_NET_BIND_SERVICE`,
      )
    case 'EADDRNOTAVAIL':
    case 'EAFNOSUPPORT':
      return new ListenerError(
        'ADDRESS_ABSENT',
        `this machine has no address ${address}, so listen.${name} cannot use it. "ip address" shows those it has`,
      )
    default:
      return new ListenerError('LISTEN_FAILED', `cannot listen on ${where}: ${reasonOf(error)}`, {
        cause: error,
      })
  }
}
