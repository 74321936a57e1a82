"""Operations as torch functions of states, with gradients by hand."""
