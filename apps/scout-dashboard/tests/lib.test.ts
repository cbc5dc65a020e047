import { describe, expect, it, vi } from 'vitest'

import { complete, isSecret } from '../src/lib/config'
import { toCsv } from '../src/lib/csv'
import { dayOrNull, daysBefore, period, today } from '../src/lib/days'
import { explain, RequestFailed, unwrap } from '../src/lib/errors'
import { href, parse } from '../src/lib/route'
import { dayTicks, ticks } from '../src/lib/scale'
import { linePath } from '../src/components/Sparkline'

const jwt = (payload: object) => `x.${btoa(JSON.stringify(payload)).replaceAll('=', '')}.x`

describe('the configuration', () => {
  vi.stubGlobal('location', { href: 'https://scout.example.com/board/' })

  it('is what is served, else what was built in', () => {
    const built = { supabaseUrl: 'https://built.example.com', supabaseKey: jwt({ role: 'anon' }) }
    expect(complete({}, built)).toMatchObject({
      supabaseUrl: 'https://built.example.com',
      currency: 'PHP',
      pollSeconds: 15,
      demoUsers: [],
    })
    expect(complete({ supabaseUrl: './', currency: 'USD' }, built)).toMatchObject({
      supabaseUrl: 'https://scout.example.com/board',
      currency: 'USD',
    })
  })

  it('that is not there is said', () => {
    expect(() => complete({}, {})).toThrow('config.json needs supabaseUrl and supabaseKey')
  })

  it('with a number or a currency that cannot be is refused', () => {
    const good = { supabaseUrl: 'https://x.example.com', supabaseKey: 'sb_publishable_abc' }
    for (const odd of [0, -1, 0.01, NaN, 1e12, '15', null]) {
      expect(() => complete({ ...good, pollSeconds: odd as number }, {})).toThrow(
        'pollSeconds must be a number from 1 to 86400',
      )
    }
    expect(() => complete({ ...good, staleMinutes: -5 }, {})).toThrow('staleMinutes')
    for (const odd of ['PESOS', '', '₱'])
      expect(() => complete({ ...good, currency: odd }, {})).toThrow('currency must be an ISO code')
    expect(
      complete({ ...good, pollSeconds: 60, staleMinutes: 30, currency: 'USD' }, {}),
    ).toMatchObject({ pollSeconds: 60, staleMinutes: 30 })
  })

  it('with the service key is refused, in every place', () => {
    const secret = jwt({ role: 'service_role' })
    expect(isSecret(secret)).toBe(true)
    expect(isSecret('sb_secret_abc')).toBe(true)
    expect(isSecret(jwt({ role: 'anon' }))).toBe(false)
    expect(isSecret('sb_publishable_abc')).toBe(false)
    const url = { supabaseUrl: 'https://x.example.com' }
    expect(() => complete({ ...url, supabaseKey: secret }, {})).toThrow('service key')
    expect(() =>
      complete(
        { ...url, supabaseKey: 'sb_publishable_abc', demoUsers: [{ name: 'root', token: secret }] },
        {},
      ),
    ).toThrow('service key')
  })
})

describe('CSV', () => {
  const columns = ['name', 'value'] as const

  it('quotes what needs it', () => {
    expect(
      toCsv(columns, [
        { name: 'a, "b"\r\nc', value: -1.5 },
        { name: null, value: 1e22 },
      ]),
    ).toBe('\uFEFFname,value\r\n"a, ""b""\r\nc",-1.5\r\n,1e+22\r\n')
  })

  it('has no formulas', () => {
    for (const evil of [
      '=HYPERLINK("http://x")',
      '+1',
      '-1',
      '@SUM(A1)',
      '\t=1',
      '\r=1',
      '\n=1',
      '＝1+1',
      '＋1',
      '－1',
      '＠SUM(A1)',
    ]) {
      const [, line = ''] = toCsv(['name'], [{ name: evil }]).split('\r\n')
      expect(line.replace(/^"/, '')).toMatch(/^'/)
    }
    expect(toCsv(columns, [{ name: 'fine=1', value: -3 }])).toContain('fine=1,-3')
  })
})

describe('errors', () => {
  it('are words for people', () => {
    const title = (code: string, status: number) => explain({ code, message: 'x' }, status).title
    expect(title('42501', 403)).toBe('You may not see this')
    expect(title('42501', 401)).toBe('You may not see this')
    expect(title('PGRST303', 401)).toBe('You are no longer signed in')
    expect(title('PGRST106', 406)).toBe('The data is not published')
    expect(title('PGRST202', 404)).toBe('The database is not ready for this page')
    expect(title('57014', 500)).toBe('This took too long')
    expect(explain({ code: 23, message: 'TimeoutError: signal timed out' }, 0).title).toBe(
      'This took too long',
    )
    expect(title('', 0)).toBe('The server cannot be reached')
    expect(title('', 502)).toBe('The server has a problem')
    expect(title('22P02', 400)).toBe('Something went wrong')
  })

  it('keep what the database said', () => {
    expect(explain({ code: '42501', message: 'permission denied', hint: 'ask' }, 403).detail).toBe(
      '42501: permission denied: ask',
    )
    expect(() =>
      unwrap({ data: null, error: { code: '42501', message: 'no' }, status: 403 }),
    ).toThrow(RequestFailed)
    expect(unwrap({ data: [1], error: null })).toEqual([1])
  })
})

describe('days', () => {
  it('are those of the reader, not of UTC', () => {
    // In the tests' time zone, whichever it is: just after midnight and just before.
    expect(today(new Date(2026, 0, 6, 0, 1))).toBe('2026-01-06')
    expect(today(new Date(2026, 0, 6, 23, 59))).toBe('2026-01-06')
  })

  it('go back over months and years', () => {
    expect(daysBefore('2026-03-01', 1)).toBe('2026-02-28')
    expect(daysBefore('2026-01-06', 365)).toBe('2025-01-06')
    expect(daysBefore('infinity', 3)).toBe('infinity')
  })

  it('of an address are days or nothing', () => {
    expect(['2026-01-06', '2026-1-6', '2026-13-01', 'yesterday', '', null].map(dayOrNull)).toEqual([
      '2026-01-06',
      null,
      null,
      null,
      null,
      null,
    ])
  })

  it('of a period are as many as it says, the last one included', () => {
    expect(period(7, '2025-01-01', '2026-01-06', '2026-01-08')).toEqual({
      since: '2025-12-31',
      until: null,
    })
    expect(period(1, '2025-01-01', '2026-01-06', '2026-01-06')).toEqual({
      since: '2026-01-06',
      until: null,
    })
    expect(period(null, '2025-01-01', '2026-01-06', '2026-01-06')).toEqual({
      since: null,
      until: null,
    })
    expect(period(30, null, null, '2026-01-06')).toEqual({ since: null, until: null })
  })

  it('of a period end today where a date lies in the future', () => {
    expect(period(7, '2025-01-01', '2226-01-02', '2026-01-06')).toEqual({
      since: '2025-12-31',
      until: '2026-01-06',
    })
    // Where all do, there is nothing else to show.
    expect(period(7, '2027-01-01', '2027-01-31', '2026-01-06')).toEqual({
      since: '2027-01-25',
      until: null,
    })
  })
})

describe('addresses', () => {
  it('lead where they came from', () => {
    const to = href('metric', 'A/B & C?', { brand: 7, since: null, until: '2026-01-06', store: '' })
    const route = parse(to)
    expect([route.page, route.code, Object.fromEntries(route.query)]).toEqual([
      'metric',
      'A/B & C?',
      { brand: '7', until: '2026-01-06' },
    ])
    expect(parse('').page).toBe('overview')
    expect(parse('#/metric/%E0%A4%A').code).toBe('%E0%A4%A')
  })
})

describe('scales', () => {
  it('have round steps around the values', () => {
    expect(ticks([0, 87], 4)).toEqual([0, 25, 50, 75, 100])
    expect(ticks([12, 87], 4)[0]).toBe(0)
    expect(ticks([90, 97], 4)).toEqual([90, 92, 94, 96, 98])
    const flat = ticks([5, 5], 4)
    expect(Math.min(...flat)).toBeLessThan(5)
    expect(Math.max(...flat)).toBeGreaterThan(5)
    expect(ticks([0, 0], 4).every(Number.isFinite)).toBe(true)
    expect(ticks([-87, -12], 4).at(-1)).toBe(0)
  })

  it('have days from the first to the last', () => {
    const day = (n: number) => n * 86_400_000
    expect(dayTicks(day(10), day(10), 5)).toEqual([day(10)])
    expect(dayTicks(day(10), day(12), 9)).toEqual([day(10), day(11), day(12)])
    const many = dayTicks(day(0), day(365), 5)
    expect([many[0], many.at(-1), many.length]).toEqual([day(0), day(365), 5])
  })

  it('draw a line from two numbers on', () => {
    expect(linePath([])).toBeNull()
    expect(linePath([1])).toBeNull()
    expect(linePath([1, 'NaN'])).toBeNull()
    expect(linePath([1, 3])).toBe('M0.0 45.0L240.0 3.0')
    expect(linePath([2, 2, 2])).toBe('M0.0 24.0L120.0 24.0L240.0 24.0')
  })
})
