//! The list of relations: one line each, in the order in which their claims are judged and listed.

/// Hands the list to a macro. A line has the module of the relation, which is its word in files, and its name in code.
macro_rules! relations {
    ($then:ident) => {
        $then! {
            /// Every window of a call or iteration contains something.
            contain Contain,
            /// A call is preceded by another.
            cover Cover,
            /// A call is followed by another.
            lead Lead,
            /// Parameters, optimizers and modules belong together.
            owned Owned,
            /// An object gets its method.
            lifecycle Lifecycle,
            /// A variable changes in every step.
            moving Moving,
            /// A variable does not change.
            frozen Frozen,
            /// Numbers stay numbers, and gradients stay alive.
            range Range,
            /// A module is called in evaluation mode.
            mode Mode,
            /// A function of the script changes parameters.
            writes Writes,
            /// What is the same stays the same.
            consistent Consistent,
            /// What differs goes on to differ.
            distinct Distinct,
            /// Ranks enter the same collectives, and wait for them.
            collective Collective,
            /// Something happens so and so often.
            count Count,
            /// A learning rate follows its schedule.
            schedule Schedule,
            /// A result has a type.
            output Output,
            /// A property of a result is that of an argument.
            input_output InputOutput,
            /// Two tensors that a call is given have the same shape.
            broadcast Broadcast,
            /// Something initialises a parameter.
            filled Filled,
            /// A result stays within a bound that the call was given.
            threshold Threshold,
            /// A number stays in the band in which the references' numbers are.
            band Band,
        }
    };
}

pub(super) use relations;
