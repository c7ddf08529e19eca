// Runs the main of a C++ program, which is its tests: ./program CHANNEL. The conversation over CHANNEL is
// languages.py's. The linker's --wrap=main lets the program begin here.
#include <cstdlib>
#include <unistd.h>

extern "C" int __real_main();

static void say(int channel, const char *what, size_t length) {
  if (write(channel, what, length) != static_cast<ssize_t>(length)) std::abort();
}

extern "C" int __wrap_main(int, char **arguments) {
  const int channel = std::atoi(arguments[1]);
  const int status = __real_main();
  if (status != 0) return status;
  char token[33];
  say(channel, "token\n", 6);
  for (size_t there = 0; there < 32;) {
    const ssize_t count = read(channel, token + there, 32 - there);
    if (count <= 0) std::abort();
    there += static_cast<size_t>(count);
  }
  token[32] = '\n';
  say(channel, token, 33);
  return 0;
}
