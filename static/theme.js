// Runs before the first paint: the theme that was asked for in the URL, or chosen before.
{
  const asked = new URLSearchParams(location.search).get("theme");
  let kept = null;
  try { kept = localStorage.getItem("theme"); } catch { /* storage may be closed */ }
  const theme = ["light", "dark"].includes(asked) ? asked : kept;
  if (theme) document.documentElement.dataset.theme = theme;
}
