import DequeModule

/// Events in the order of sending, which is that of their ids. It is a plain data structure.
///
/// An event can be removed from the middle by its id in logarithmic time. Its slot stays until it reaches the front, or
/// until such slots are in the majority.
struct PublishBacklog<Element> {
    private struct Place {
        let id: UInt64
        let size: Int
        var isLeft = false
        var element: Element?
    }

    private var places = Deque<Place>()
    /// The number of waiting events.
    private(set) var count = 0

    /// The size of the first event.
    var firstSize: Int? { count == 0 ? nil : places[0].size }

    /// Inserts an event by its id, which is usually at the end.
    mutating func insert(_ element: Element, id: UInt64, size: Int) {
        let place = Place(id: id, size: size, element: element)
        if places.isEmpty || places[places.count - 1].id < id {
            places.append(place)
        } else if id < places[0].id {
            places.prepend(place)
        } else {
            places.insert(place, at: index(notBelow: id))
        }
        count += 1
    }

    /// Removes and returns the first event.
    mutating func popFirst() -> Element? {
        guard let element = places.popFirst()?.element else { return nil }
        count -= 1
        trim()
        return element
    }

    /// Removes and returns an event at any position.
    mutating func remove(_ id: UInt64) -> Element? {
        let index = index(notBelow: id)
        guard index < places.count, places[index].id == id, let element = places[index].element else { return nil }
        places[index].element = nil
        places[index].isLeft = true
        count -= 1
        trim()
        return element
    }

    /// Removes and returns the events that `isMeant` selects, in order.
    mutating func removeAll(where isMeant: (Element) -> Bool) -> [Element] {
        var (kept, taken) = (Deque<Place>(), [Element]())
        for place in places {
            guard let element = place.element else { continue }
            if isMeant(element) { taken.append(element) } else { kept.append(place) }
        }
        places = kept
        count = kept.count
        return taken
    }

    /// Calls `body` for each event in order.
    func forEach(_ body: (Element) -> Void) {
        for place in places { if let element = place.element { body(element) } }
    }

    private mutating func trim() {
        while !places.isEmpty, places[0].isLeft { places.removeFirst() }
        if places.count > 64, places.count > 2 * count { places.removeAll { $0.isLeft } }
    }

    private func index(notBelow id: UInt64) -> Int {
        var (low, high) = (0, places.count)
        while low < high {
            let middle = low + (high - low) / 2
            if places[middle].id < id { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
