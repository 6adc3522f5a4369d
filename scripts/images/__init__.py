"""The image: what it holds, how it is built where no engine is at hand, and what it costs."""
