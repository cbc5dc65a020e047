/** A user whom the demo signs in without a password, to show several tenants. */
export interface DemoUser {
  name: string
  token: string
}

export interface Config {
  supabaseUrl: string
  /** The public key. It gives no access to rows. */
  supabaseKey: string
  /** ISO code of the currency of amounts. */
  currency: string
  /** Seconds between two polls while Realtime is not connected. */
  pollSeconds: number
  /** Minutes since the last comparison with Odoo after which the page warns of stale data. */
  staleMinutes: number
  /** Whether to use Realtime. */
  realtime: boolean
  /** Tables of schema ipai with the names of brands and stores: mirrors of res.partner. */
  brandTable: string | null
  storeTable: string | null
  /** Users to choose from instead of a sign-in. */
  demoUsers: DemoUser[]
}

const DEFAULTS: Config = {
  supabaseUrl: '',
  supabaseKey: '',
  currency: 'PHP',
  pollSeconds: 15,
  staleMinutes: 60,
  realtime: true,
  brandTable: null,
  storeTable: null,
  demoUsers: [],
}

/** Polling without a pause would overload the server. A timer above 24 days fires at once. */
const NUMBERS = [
  ['pollSeconds', 1, 86_400],
  ['staleMinutes', 1, 525_600],
] as const

/** Reads `config.json` beside the page. Settings of the build replace missing ones. */
export async function loadConfig(): Promise<Config> {
  let served: Partial<Config> = {}
  const response = await fetch('./config.json', { cache: 'no-store' })
  // Some servers answer a missing file with the page.
  if (response.ok && response.headers.get('content-type')?.includes('json'))
    served = (await response.json()) as Partial<Config>
  return complete(served, {
    supabaseUrl: import.meta.env.VITE_SUPABASE_URL,
    supabaseKey: import.meta.env.VITE_SUPABASE_ANON_KEY,
  })
}

export function complete(
  served: Partial<Config>,
  built: { supabaseUrl?: string | undefined; supabaseKey?: string | undefined },
): Config {
  const config = { ...DEFAULTS, ...served }
  config.supabaseUrl ||= built.supabaseUrl ?? ''
  config.supabaseKey ||= built.supabaseKey ?? ''
  if (!config.supabaseUrl || !config.supabaseKey) {
    throw new Error(
      'The data source is not configured: config.json needs supabaseUrl and supabaseKey.',
    )
  }
  // The address may be relative to the page.
  config.supabaseUrl = new URL(config.supabaseUrl, globalThis.location.href).href.replace(/\/$/, '')
  for (const [name, least, most] of NUMBERS) {
    const value: unknown = config[name]
    if (typeof value !== 'number' || !(value >= least && value <= most)) {
      throw new Error(
        `config.json: ${name} must be a number from ${least} to ${most}, not ${JSON.stringify(value)}.`,
      )
    }
  }
  if (!isCurrency(config.currency))
    throw new Error(
      `config.json: currency must be an ISO code such as PHP, not ${JSON.stringify(config.currency)}.`,
    )
  if (isSecret(config.supabaseKey) || config.demoUsers.some((user) => isSecret(user.token))) {
    throw new Error(
      'config.json contains the service key, which bypasses row-level security. ' +
        'Everyone who opens this page can read it: revoke the key and replace it.',
    )
  }
  return config
}

function isCurrency(code: unknown): boolean {
  return typeof code === 'string' && /^[A-Za-z]{3}$/.test(code)
}

/** Whether the key is for servers only. */
export function isSecret(key: string): boolean {
  return key.startsWith('sb_secret_') || claims(key)?.role === 'service_role'
}

/** The claims of a token, without a check of its signature: the database checks that. */
export function claims(token: string): Record<string, unknown> | null {
  try {
    const part = token.split('.')[1] ?? ''
    return JSON.parse(atob(part.replaceAll('-', '+').replaceAll('_', '/'))) as Record<
      string,
      unknown
    >
  } catch {
    return null
  }
}
