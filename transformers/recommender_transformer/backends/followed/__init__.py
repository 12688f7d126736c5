"""What a process follows in Redis while it serves: rules, users and offline lists."""
