/** What a value is measured in: a percent is 0 to 100, an amount is money. */
export type Unit = 'percent' | 'count' | 'amount'

/** A row of `ipai.ipai_sample_metrics`: one value of a metric, of a day, a brand and a store. */
export interface SampleMetric {
  id: number
  /** Id of the record in Odoo; null: a local row. */
  odoo_id: number | null
  name: string
  code: string
  /** ISO day. Odoo allows none. */
  date: string | null
  brand_id: number | null
  store_id: number | null
  value: number
  unit: Unit
  is_alert: boolean
  notes: string | null
  active: boolean
  inserted_at: string
  updated_at: string
}
