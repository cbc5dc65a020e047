-- Stores the page size that worked after a larger page had failed; 0 without a failure.
update ipai.mirror_state
set safe_page_size = nullif($2, 0)
where mirror = $1 and safe_page_size is distinct from nullif($2, 0)
