def tape_of(roots, since=0):
    seen, left = set(roots), list(roots)
    while left:
        for parent in left.pop().inputs:
            if parent is not None and parent.seq >= since and parent not in seen:
                seen.add(parent)
                left.append(parent)
    return sorted(seen, key=attrgetter("seq"))
