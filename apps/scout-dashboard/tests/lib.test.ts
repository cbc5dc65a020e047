import { describe, expect, it, vi } from 'vitest'

import { complete, isSecret } from '../src/lib/config'
import { toCsv } from '../src/lib/csv'
import { dayOrNull, daysBefore, period, today } from '../src/lib/days'
import { explain, RequestFailed, unwrap } from '../src/lib/errors'
import { dayScale, valueScale } from '../src/lib/scales'
import { linePath } from '../src/components/Sparkline'

const jwt = (payload: object) => `x.${btoa(JSON.stringify(payload)).replaceAll('=', '')}.x`

describe('the configuration', () => {
  vi.stubGlobal('location', { href: 'https://scout.example.com/board/' })

  it('prefers config.json to the settings of the build', () => {
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

  it('must name the data source', () => {
    expect(() => complete({}, {})).toThrow('config.json needs supabaseUrl and supabaseKey')
  })

  it('rejects invalid numbers and currencies', () => {
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

  it('rejects the service key, also as a token', () => {
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

  it('quotes special characters', () => {
    expect(
      toCsv(columns, [
        { name: 'a, "b"\r\nc', value: -1.5 },
        { name: null, value: 1e22 },
      ]),
    ).toBe('\uFEFFname,value\r\n"a, ""b""\r\nc",-1.5\r\n,1e+22\r\n')
  })

  it('contains no formulas', () => {
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
  it('have a title for the user', () => {
    const title = (code: string, status: number) => explain({ code, message: 'x' }, status).title
    expect(title('42501', 403)).toBe('Access denied')
    expect(title('42501', 401)).toBe('Access denied')
    expect(title('PGRST303', 401)).toBe('Your session has expired')
    expect(title('PGRST106', 406)).toBe('The API does not expose the data')
    expect(title('PGRST202', 404)).toBe('The database is not ready for this page')
    expect(title('57014', 500)).toBe('The request timed out')
    expect(explain({ code: 23, message: 'TimeoutError: signal timed out' }, 0).title).toBe(
      'The request timed out',
    )
    expect(title('', 0)).toBe('The server cannot be reached')
    expect(title('', 502)).toBe('The server reported an error')
    expect(title('22P02', 400)).toBe('The request failed')
  })

  it('keep the message of the database', () => {
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
  it('are in the time zone of the user', () => {
    // Just after and just before midnight, in any time zone.
    expect(today(new Date(2026, 0, 6, 0, 1))).toBe('2026-01-06')
    expect(today(new Date(2026, 0, 6, 23, 59))).toBe('2026-01-06')
  })

  it('cross months and years', () => {
    expect(daysBefore('2026-03-01', 1)).toBe('2026-02-28')
    expect(daysBefore('2026-01-06', 365)).toBe('2025-01-06')
    expect(daysBefore('infinity', 3)).toBe('infinity')
  })

  it('of an address are valid days or null', () => {
    expect(['2026-01-06', '2026-1-6', '2026-13-01', 'yesterday', '', null].map(dayOrNull)).toEqual([
      '2026-01-06',
      null,
      null,
      null,
      null,
      null,
    ])
  })

  it('of a period include the last day', () => {
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

  it('of a period end today if dates lie in the future', () => {
    expect(period(7, '2025-01-01', '2226-01-02', '2026-01-06')).toEqual({
      since: '2025-12-31',
      until: '2026-01-06',
    })
    // All dates lie in the future.
    expect(period(7, '2027-01-01', '2027-01-31', '2026-01-06')).toEqual({
      since: '2027-01-25',
      until: null,
    })
  })
})

describe('scales', () => {
  const values = (numbers: number[]) => valueScale(numbers, [0, 100]).ticks
  const days = (first: number, last: number, count: number) =>
    dayScale(first, last, [0, 100], count).ticks
  const day = (text: string) => Date.parse(text)

  it('have round values around the data', () => {
    expect(values([0, 87])).toEqual([0, 20, 40, 60, 80, 100])
    expect(values([90, 97])).toEqual([90, 92, 94, 96, 98])
  })

  it('start at zero if zero is near', () => {
    expect(values([12, 87])[0]).toBe(0)
    expect(values([-87, -12]).at(-1)).toBe(0)
  })

  it('have a height if all values are equal', () => {
    const flat = values([5, 5])
    expect(Math.min(...flat)).toBeLessThan(5)
    expect(Math.max(...flat)).toBeGreaterThan(5)
    expect(values([0, 0]).every(Number.isFinite)).toBe(true)
    expect(valueScale([5, 5], [0, 100]).scale(5)).toBe(50)
  })

  it('have whole days as ticks', () => {
    const [first, second, third] = ['2026-01-06', '2026-01-07', '2026-01-08'].map(day)
    expect(days(first ?? 0, first ?? 0, 5)).toEqual([first])
    expect(days(first ?? 0, third ?? 0, 9)).toEqual([first, second, third])
    const quarters = ['2025-01-01', '2025-04-01', '2025-07-01', '2025-10-01', '2026-01-01'].map(day)
    expect(days(day('2025-01-01'), day('2026-01-01'), 5)).toEqual(quarters)
    expect(dayScale(first ?? 0, first ?? 0, [0, 100], 5).scale(first ?? 0)).toBe(50)
  })

  it('draw a line through two or more numbers', () => {
    expect(linePath([])).toBeNull()
    expect(linePath([1])).toBeNull()
    expect(linePath([1, 'NaN'])).toBeNull()
    expect(linePath([1, 3])).toBe('M0,45L240,3')
    expect(linePath([2, 2, 2])).toBe('M0,24L120,24L240,24')
  })
})
