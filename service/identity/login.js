"use strict";
document.querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target, message = document.querySelector("[role=alert]");
  const body = {
    type: "m.login.password",
    identifier: { type: "m.id.user", user: form.elements.user.value },
    password: form.elements.password.value,
  };
  // What a client may say about itself; credentials are never taken from the address.
  const query = new URLSearchParams(location.search);
  for (const name of ["device_id", "initial_device_display_name"]) {
    if (query.has(name)) body[name] = query.get(name);
  }
  if (query.get("refresh_token") === "true") body.refresh_token = true;
  message.textContent = "";
  try {
    const response = await fetch("/_matrix/client/v3/login", { method: "POST", body: JSON.stringify(body) });
    const answer = await response.json();
    if (!response.ok) throw new Error(answer.error);
    form.remove();
    document.querySelector("p").textContent = "You are signed in and can go back to your client.";
    if (window.matrixLogin && window.matrixLogin.onLogin) window.matrixLogin.onLogin(answer);
  } catch (failure) {
    message.textContent = failure.message;
  }
});
