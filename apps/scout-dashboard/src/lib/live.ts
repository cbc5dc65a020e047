import type { Following } from '../hooks/useHealth'
import type { Formats } from './format'
import type { RealtimeState } from './realtime'

/** How soon a change in Odoo appears on the page, in words. */
export interface Liveness {
  /**
   * live: within seconds; stopped: no longer, because the follower has stopped; realtime
   * and polling: with the next sync, which the page notices in this way.
   */
  state: 'live' | 'stopped' | 'realtime' | 'polling'
  text: string
  why: string
}

export function liveness(
  { mode, reason }: RealtimeState,
  { live, lastPoll }: Following,
  pollSeconds: number,
  formats: Pick<Formats, 'time'>,
): Liveness {
  if (live) {
    const by =
      mode === 'realtime' ? 'Realtime reports them.' : `The page checks for them. ${reason}.`
    return {
      state: 'live',
      text: 'Live',
      why: `Changes in Odoo appear within seconds. ${by}`,
    }
  }
  if (live === false) {
    const since = lastPoll ? ` since ${formats.time(lastPoll)}` : ''
    return {
      state: 'stopped',
      text: 'Not live',
      why: `The page has not been live${since}. Changes in Odoo appear after the next sync.`,
    }
  }
  return mode === 'realtime'
    ? {
        state: 'realtime',
        text: 'Realtime',
        why: 'Realtime reports changes of the mirror. Changes in Odoo appear after the next sync.',
      }
    : {
        state: 'polling',
        text: `Polling, ${pollSeconds} s`,
        why: `The page checks for changes every ${pollSeconds} seconds. ${reason}.`,
      }
}
