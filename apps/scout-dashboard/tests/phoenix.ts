import { type AddressInfo } from 'node:net'

import { WebSocketServer, type WebSocket } from 'ws'

/** [join_ref, ref, topic, event, payload], in version 2 of Phoenix's protocol. */
export type Message = [string | null, string | null, string, string, Record<string, unknown>]

export type Script =
  'subscribes' | 'refuses to join' | 'cannot read the table' | 'never confirms changes'

/** A scripted server with the protocol of Realtime, for tests without a real Realtime server. */
export class Phoenix {
  readonly joins: Message[] = []
  private readonly sockets = new Set<WebSocket>()
  private readonly server: WebSocketServer
  script: Script

  private constructor(server: WebSocketServer, script: Script) {
    this.server = server
    this.script = script
    server.on('connection', (socket) => {
      this.sockets.add(socket)
      socket.on('close', () => this.sockets.delete(socket))
      socket.on('message', (data: Buffer) =>
        this.answer(socket, JSON.parse(data.toString()) as Message),
      )
    })
  }

  static async start(script: Script, port = 0): Promise<Phoenix> {
    const server = new WebSocketServer({ host: '127.0.0.1', port })
    await new Promise((resolve) => server.once('listening', resolve))
    return new Phoenix(server, script)
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  /** Reports a changed row to all clients. */
  change(type: 'INSERT' | 'UPDATE' | 'DELETE', record: object): void {
    const data = {
      type,
      schema: 'ipai',
      table: 'ipai_sample_metrics',
      commit_timestamp: '2026-01-06T08:00:00Z',
      columns: [],
      errors: null,
      record,
      old_record: {},
    }
    for (const socket of this.sockets)
      this.send(socket, [null, null, this.topic(), 'postgres_changes', { ids: [4711], data }])
  }

  /** Closes the channel but not the connection, as Realtime does when a token expires. */
  close(): void {
    const [joinRef, , topic] = this.joins.at(-1) ?? [null, null, '']
    for (const socket of this.sockets) this.send(socket, [joinRef, null, topic, 'phx_close', {}])
  }

  /** Closes all connections and accepts no more. */
  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.terminate()
    await new Promise((resolve) => this.server.close(resolve))
  }

  private topic(): string {
    return this.joins.at(-1)?.[2] ?? ''
  }

  private answer(socket: WebSocket, [joinRef, ref, topic, event, payload]: Message): void {
    const reply = (status: string, response: object) =>
      this.send(socket, [joinRef, ref, topic, 'phx_reply', { status, response }])
    if (event !== 'phx_join') {
      // Heartbeats, tokens and leaves.
      reply('ok', {})
      return
    }
    this.joins.push([joinRef, ref, topic, event, payload])
    if (this.script === 'refuses to join') {
      reply('error', { reason: 'Unauthorized: you may not read this channel' })
      return
    }
    const { config } = payload as { config: { postgres_changes: object[] } }
    reply('ok', {
      postgres_changes: config.postgres_changes.map((asked) => ({ ...asked, id: 4711 })),
    })
    const system = (status: string, message: string) =>
      this.send(socket, [
        joinRef,
        null,
        topic,
        'system',
        { extension: 'postgres_changes', channel: topic, status, message },
      ])
    if (this.script === 'subscribes') system('ok', 'Subscribed to PostgreSQL')
    if (this.script === 'cannot read the table')
      system('error', 'Unable to subscribe to changes with given parameters')
  }

  private send(socket: WebSocket, message: Message): void {
    socket.send(JSON.stringify(message))
  }
}
