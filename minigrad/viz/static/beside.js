// What is chosen in one page is told to the other.
const frames = [...document.querySelectorAll("iframe")];
addEventListener("message", (event) => {
  if (!event.data?.minigrad || !frames.some((frame) => frame.contentWindow === event.source)) return;
  for (const frame of frames) if (frame.contentWindow !== event.source) frame.contentWindow.postMessage(event.data, "*");
});
