/// An inbox that measures time in this process, by the clock of its bus if it was created without one.
package protocol ClockedInbox: Inbox {
    /// Uses the clock of a bus whose subscription has the inbox, unless the inbox has a clock already.
    func adopt(_ clock: AnyClock)
}
