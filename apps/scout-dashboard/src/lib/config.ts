/** Somebody whom the page may sign in without a password: the demo's way to show two tenants. */
export interface DemoUser {
  name: string
  token: string
}

export interface Config {
  supabaseUrl: string
  /** The public key. It reads nothing by itself. */
  supabaseKey: string
  /** ISO code of the currency of amounts. */
  currency: string
  /** Seconds between two looks at the database while Realtime cannot be reached. */
  pollSeconds: number
  /** Minutes without a check against Odoo from which on the page says that it is behind. */
  staleMinutes: number
  /** Whether to try Realtime at all. */
  realtime: boolean
  /** Tables of schema ipai with names of brands and stores: mirrors of res.partner that the user may read. */
  brandTable: string | null
  storeTable: string | null
  /** In place of a sign-in. */
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

/** A page that polls without a pause would be an attack, and a timer of more than 24 days fires at once. */
const NUMBERS = [
  ['pollSeconds', 1, 86_400],
  ['staleMinutes', 1, 525_600],
] as const

/** `config.json` beside the page counts; what it leaves out is as it was when the page was built. */
export async function loadConfig(): Promise<Config> {
  let served: Partial<Config> = {}
  const response = await fetch('./config.json', { cache: 'no-store' })
  // A server that answers every address with the page has no config.json either.
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
      'Nothing says where the data is: config.json needs supabaseUrl and supabaseKey.',
    )
  }
  // Relative to the page, where both come from one server.
  config.supabaseUrl = new URL(config.supabaseUrl, globalThis.location.href).href.replace(/\/$/, '')
  for (const [name, least, most] of NUMBERS) {
    const value: unknown = config[name]
    if (typeof value !== 'number' || !(value >= least && value <= most)) {
      throw new Error(
        `config.json: ${name} must be a number from ${least} to ${most}, and is ${JSON.stringify(value)}.`,
      )
    }
  }
  if (!isCurrency(config.currency))
    throw new Error(
      `config.json: currency must be an ISO code, such as PHP, and is ${JSON.stringify(config.currency)}.`,
    )
  if (isSecret(config.supabaseKey) || config.demoUsers.some((user) => isSecret(user.token))) {
    throw new Error(
      'config.json has the service key, which passes row-level security. Everybody who opens this page can read it: replace it, and revoke it.',
    )
  }
  return config
}

function isCurrency(code: unknown): boolean {
  return typeof code === 'string' && /^[A-Za-z]{3}$/.test(code)
}

/** Whether this is a key for servers only. */
export function isSecret(key: string): boolean {
  return key.startsWith('sb_secret_') || claims(key)?.role === 'service_role'
}

/** What a token says, unchecked: the database checks it. */
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
