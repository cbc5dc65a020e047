import { REALTIME_SUBSCRIBE_STATES, type RealtimeChannel } from '@supabase/supabase-js'

import type { Scout } from './supabase'

export interface LiveState {
  /** How changes arrive: told by Realtime, or found by looking again and again. */
  mode: 'realtime' | 'polling'
  /** Why Realtime is not used. */
  reason: string
}

interface Options {
  pollSeconds: number
  realtime: boolean
  /** Seconds between two looks while Realtime tells what changes: who may no longer see a row is told nothing. */
  sweepSeconds?: number
  /** Milliseconds to wait for more changes before reading: a sync changes many rows. */
  gatherMs?: number
  /** Milliseconds between two readings for changes, however many come: a long sync must not make every open page read all the time. */
  restMs?: number
}

/**
 * Tells when to read again.
 *
 * It subscribes to the table's changes, and polls until the database is known to send them, and whenever the connection is lost.
 * A page that nobody sees is left alone until somebody looks.
 */
export class Live {
  private readonly listeners = new Set<() => void>()
  private readonly stateListeners = new Set<() => void>()
  private readonly options: Required<Options>
  private state: LiveState = { mode: 'polling', reason: 'Connecting to Realtime' }
  private channel: RealtimeChannel | null = null
  private timer: ReturnType<typeof setTimeout> | undefined
  private gathering: ReturnType<typeof setTimeout> | undefined
  private retrying: ReturnType<typeof setTimeout> | undefined
  private resubscribing: ReturnType<typeof setTimeout> | undefined
  /** Which start it is: what an earlier one has begun must not go on. */
  private run = 0
  private missed = false
  private told = -Infinity

  constructor(
    private readonly scout: Scout,
    options: Options,
  ) {
    this.options = { sweepSeconds: 300, gatherMs: 500, restMs: 3000, ...options }
  }

  /** Begins; returns how to end. */
  start(): () => void {
    this.run++
    if (this.options.realtime) void this.join()
    else this.become('polling', 'Realtime is switched off')
    this.schedule()
    const onVisible = () => {
      if (!hidden() && this.missed) this.tell()
    }
    const onOnline = () => this.tell()
    globalThis.document.addEventListener('visibilitychange', onVisible)
    globalThis.addEventListener('online', onOnline)
    return () => {
      this.run++
      globalThis.document.removeEventListener('visibilitychange', onVisible)
      globalThis.removeEventListener('online', onOnline)
      for (const timer of [this.timer, this.gathering, this.retrying, this.resubscribing])
        clearTimeout(timer)
      this.gathering = this.retrying = this.resubscribing = undefined
      const channel = this.channel
      this.channel = null
      if (channel) void this.scout.removeChannel(channel)
    }
  }

  /** Calls `listener` when it is time to read again. */
  onChange = (listener: () => void): (() => void) => {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  /** To be called where reading has failed: while nobody polls, it is tried again in as long as a poll would take. */
  failed = (): void => {
    if (this.state.mode === 'polling') return
    this.retrying ??= setTimeout(() => this.tell(), this.options.pollSeconds * 1000)
  }

  onState = (listener: () => void): (() => void) => {
    this.stateListeners.add(listener)
    return () => this.stateListeners.delete(listener)
  }

  getState = (): LiveState => this.state

  private async join(): Promise<void> {
    const run = this.run
    try {
      // Joined before the token is known, the channel would be that of nobody.
      await this.scout.realtime.setAuth()
      if (run === this.run) this.subscribe()
    } catch (error) {
      if (run !== this.run) return
      this.become('polling', error instanceof Error ? error.message : 'Realtime cannot be reached')
      this.joinLater()
    }
  }

  private joinLater(): void {
    this.resubscribing ??= setTimeout(() => {
      this.resubscribing = undefined
      void this.join()
    }, this.options.pollSeconds * 1000)
  }

  private subscribe(): void {
    const channel = this.scout
      .channel('ipai-sample-metrics')
      .on('postgres_changes', { event: '*', schema: 'ipai', table: 'ipai_sample_metrics' }, () =>
        this.gather(),
      )
      // That the channel is joined does not mean that changes come: the server says so later, or why not.
      .on('system', {}, (message: { extension?: string; status?: string; message?: string }) => {
        if (channel !== this.channel || message.extension !== 'postgres_changes') return
        if (message.status === 'ok') {
          const came = this.state.mode !== 'realtime'
          this.become('realtime', '')
          // What changed while it was being joined.
          if (came) this.gather()
        } else this.become('polling', message.message ?? 'Realtime does not send this table')
      })
    this.channel = channel
    channel.subscribe((status, error) => {
      if (channel !== this.channel || status === REALTIME_SUBSCRIBE_STATES.SUBSCRIBED) return
      this.become('polling', error?.message ?? 'Realtime cannot be reached')
      // The library joins again by itself after errors, but not after the server has closed the channel, as it does when a token expires.
      if (status === REALTIME_SUBSCRIBE_STATES.CLOSED) {
        this.channel = null
        this.joinLater()
      }
    })
  }

  private become(mode: LiveState['mode'], reason: string): void {
    if (mode === this.state.mode && reason === this.state.reason) return
    const changed = mode !== this.state.mode
    this.state = { mode, reason }
    for (const listener of this.stateListeners) listener()
    if (changed) this.schedule()
  }

  private schedule(): void {
    clearTimeout(this.timer)
    const seconds =
      this.state.mode === 'realtime' ? this.options.sweepSeconds : this.options.pollSeconds
    this.timer = setTimeout(() => {
      this.schedule()
      this.tell()
    }, seconds * 1000)
  }

  private gather(): void {
    this.gathering ??= setTimeout(
      () => {
        this.gathering = undefined
        this.tell()
      },
      Math.max(this.options.gatherMs, this.told + this.options.restMs - performance.now()),
    )
  }

  private tell(): void {
    this.missed = hidden()
    if (this.missed) return
    clearTimeout(this.retrying)
    this.retrying = undefined
    this.told = performance.now()
    for (const listener of this.listeners) listener()
  }
}

function hidden(): boolean {
  return globalThis.document.visibilityState === 'hidden'
}
