"""The benchmarks: one module each says where its items come from, how they are asked, and how an answer is read."""
