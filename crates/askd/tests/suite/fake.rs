//! With the scripted CLI: what the real one will not do on demand.
