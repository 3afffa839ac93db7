/**
 * The script of the console, without which every page works: times in the reader's zone, pages that
 * follow what they show, a box that selects all.
 */
const ZONED = {
  ...{ year: 'numeric', month: 'short', day: 'numeric' },
  ...{ hour: '2-digit', minute: '2-digit', second: '2-digit', timeZoneName: 'short' },
};
const enrich = (root) => {
  for (const time of root.querySelectorAll('time[datetime]')) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    const here = at.toLocaleString(undefined, ZONED);
    if (time.title === '') time.textContent = here;
    else time.title = here;
  }
  for (const box of root.querySelectorAll('input[data-all]')) {
    box.closest('label').hidden = false;
    box.addEventListener('change', () => {
      for (const one of document.querySelectorAll('input[name="id"]')) one.checked = box.checked;
    });
  }
};
const isTouched = (part) =>
  part.contains(document.activeElement) ||
  [...part.querySelectorAll('input')].some(
    (one) => one.value !== one.defaultValue || one.checked !== one.defaultChecked,
  );
const follow = async () => {
  const now = document.querySelector('[data-follow]');
  if (now === null) return;
  await new Promise((resolve) => setTimeout(resolve, 1000 * Number(now.dataset.follow)));
  if (document.hidden) return void follow();
  try {
    const response = await fetch(location.href, { headers: { 'x-undrop-follows': '1' } });
    const text = await response.text();
    if (response.redirected || !response.ok) return void location.reload();
    const fresh = new DOMParser().parseFromString(text, 'text/html').querySelector('[data-part]');
    const old = document.querySelector('[data-part]');
    if (fresh !== null && old !== null && !isTouched(old)) {
      enrich(fresh);
      old.replaceWith(document.adoptNode(fresh));
    }
  } catch {
    // The proxy is away: the next try may find it.
  }
  void follow();
};
enrich(document);
void follow();
